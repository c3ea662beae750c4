"""What labkit needs of a BGP daemon. A daemon's folder has a module for each part."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Protocol, TypeVar

from labkit.azure.model import PathAttributes
from labkit.daemons.speaker import (
    AdjRibIn,
    Advertisements,
    Best,
    CustomerSpeaker,
    LocRib,
    Neighbour,
    Session,
    Speaker,
    StaticRouter,
)
from labkit.daemons.tables import AdvertisedPath, BgpNeighbour, BgpPath, BgpTable, Query

T = TypeVar("T")

PLATFORM_FOLDER = "/run/labkit"
"""In a node: where it and the controller meet."""

POLICY_FILE = "policy.conf"
"""In an NVA's platform folder: what it advertises since an operator has changed that (`Config.policy`)."""

ORIGINATED_FILE = "originated"
"""In the same folder: the prefixes that it originates since then, one a line."""

Command = tuple[str, ...]
"""A command that changes a daemon, to be run in its node."""


TemplateVariables = Mapping[str, object]
"""What a template is rendered with: values of whatever types it needs."""


@dataclass(frozen=True, slots=True)
class ConfigurationFile:
    """A file of a daemon's node: `template` rendered with `context`, at `target`; `name` in the rendered folder."""

    name: str
    target: str
    template: str
    context: TemplateVariables


class Config(Protocol):
    """A speaker's configuration. Pure."""

    def files(self, speaker: Speaker | StaticRouter) -> tuple[ConfigurationFile, ...]:
        """The configuration files of a router's node."""

    def policy(self, speaker: CustomerSpeaker) -> str:
        """What of them an operator changes while the lab runs: what a speaker originates, and its export policy.

        The controller writes it to `POLICY_FILE`, and the node's services make it true, at once and at every start.
        """

    def parser(self, folder: str) -> Command:
        """The program of the image, by its path there, that checks a configuration in a folder of this machine.

        The file has the name of `ConfigurationFile`.
        """

    def mistakes(self, configuration: str, output: str) -> Iterator[tuple[int, str]]:
        """What is wrong with a configuration, each with its line, given what the parser printed of it."""


@dataclass(frozen=True, slots=True)
class Services:
    """How a daemon runs in a node.

    Attributes:
        names: the s6 services that it consists of, in the order of the healthcheck.
        bgp: the one whose ready mark is renewed whenever BGP has read its configuration.
        capabilities: what the node's processes must be allowed.
        monitored: environment variables that make it report by BMP.
        console: the command that opens its own command line for people.
    """

    names: tuple[str, ...]
    bgp: str
    capabilities: tuple[str, ...]
    monitored: Mapping[str, str]
    console: Command

    @property
    def without_bgp(self) -> tuple[str, ...]:
        """The services of a router without BGP, in the same order."""
        return tuple(name for name in self.names if name != self.bgp)


class Installation(Protocol):
    """What the image needs for a daemon beyond its Debian package."""

    def prepare(self, root: Path) -> None:
        """Change what the package has installed below `root`, so that it runs in nodes."""


class Tables(Protocol):
    """What a daemon shows: queries, which somebody else asks, through a runtime or in the node, and commands."""

    SOCKET: str
    """Where it answers queries, a Unix socket in its node. Nothing listens there if BGP does not run."""

    PATIENCE: float
    """Seconds that it may take to answer."""

    KERNEL_PROTOCOL: str
    """The protocol of its routes in the kernel, as `ip route` names it; static routes may have it too."""

    def ask(self, connection: socket.socket, query: Query[T]) -> T:
        """What it answers to a query over a connection to its socket. Raises NoAnswer if it doesn't."""

    def table(self) -> Query[BgpTable]:
        """Everything; the paths that the router originates are left out."""

    def paths(self, prefix: str) -> Query[tuple[BgpPath, ...]]:
        """The paths for a prefix, those in use first, and why the others are not; own ones are from `LOCAL`."""

    def neighbours(self) -> Query[tuple[BgpNeighbour, ...]]:
        """The neighbours alone."""

    def shown(self) -> Command:
        """The command that shows the BGP table to people."""

    def shown_as_json(self) -> Command | None:
        """The command that shows the BGP table as the daemon's own JSON; None if it has no JSON."""

    def sessions_shown(self) -> Command:
        """The command that shows the sessions to people."""


class Decide(Protocol):
    """What a daemon makes of routes, for predictions. Pure."""

    RESOLVES_BY_BGP: bool
    """Whether routes by BGP lead to next hops of others."""

    def import_policy(
        self, speaker: CustomerSpeaker, neighbour: Neighbour, received: Advertisements
    ) -> dict[IPv4Network, PathAttributes]:
        """What a speaker accepts of a neighbour's routes."""

    def connects(self, speaker: CustomerSpeaker, session: Session) -> bool:
        """Whether a speaker opens a session with a neighbour that is there, or accepts it."""

    def loc_rib(self, speaker: CustomerSpeaker, adj_rib_in: AdjRibIn) -> dict[IPv4Network, Best]:
        """The best paths, those that the speaker originates among them."""

    def advertises(
        self, speaker: CustomerSpeaker, session: Session, loc_rib: LocRib, established: Iterable[Session]
    ) -> dict[IPv4Network, PathAttributes]:
        """What a speaker advertises on a session; `established` are its sessions that are up."""


class Control(Protocol):
    """The commands that change a daemon while it runs. Pure: they work through a runtime and in the node."""

    def advertise(self, asn: int, prefixes: Iterable[IPv4Network]) -> Command:
        """Originate prefixes."""

    def withdraw(self, asn: int, prefixes: Iterable[IPv4Network]) -> Command:
        """Originate prefixes no longer."""

    def shut_down(self, asn: int, neighbours: Iterable[IPv4Address]) -> Command:
        """End sessions, with an administrative shutdown (RFC 4486)."""

    def start(self, asn: int, neighbours: Iterable[IPv4Address]) -> Command:
        """Let sessions that were shut down be set up again."""

    def changed_by_hand(self) -> Command:
        """Print as JSON the statements `added` and `removed` in the configuration that it runs by, see `statements`."""

    def refresh(self, neighbour: IPv4Address | None = None) -> Command:
        """Send and ask for all routes again (RFC 2918), with one neighbour or, for None, all of them."""


@dataclass(frozen=True, slots=True)
class GatewayRanges:
    """Prefixes: what a gateway has `originated`, and the virtual networks that are `adjacent`."""

    originated: tuple[str, ...]
    adjacent: tuple[str, ...]


class GatewayControl(Protocol):
    """The daemon of a gateway's instance, from a process in the same node. Every method waits for its answer.

    A method that gets none raises NoAnswer, unless its docstring has it otherwise; addresses are texts.
    """

    def set_sessions(self, asn: int, route_servers: Collection[str], *, on: bool) -> None:
        """Start or shut down the sessions with the route server, with the filter that belongs to them."""

    def set_neighbours(self, asn: int, neighbours: Collection[str], *, on: bool) -> None:
        """Start or shut down the sessions with instances of other gateways."""

    def set_ranges(self, asn: int, subnet_gateway: str, ranges: GatewayRanges, *, vpn: bool) -> None:
        """Make these the ranges that it originates, and leaves to the virtual network."""

    def set_connections(self, asn: int, sessions: Mapping[str, bool], *, vpn: bool) -> None:
        """Start or shut down the sessions with the far ends of lines and tunnels, by their addresses.

        A VPN gateway originates the addresses of those that are on.
        """

    def set_static_routes(
        self, asn: int, built: Collection[tuple[str, str]], routes: Collection[tuple[str, str]]
    ) -> None:
        """Make these the static routes into tunnels, as (prefix, far end), of those that the node was `built` with."""

    def advertised(self, peer: str) -> tuple[AdvertisedPath, ...]:
        """The Adj-RIB-Out of a peer; empty if there is no such peer."""

    def peers(self) -> tuple[BgpNeighbour, ...]:
        """The neighbours and their sessions."""

    def has_paths_of(self, peers: Collection[str]) -> bool:
        """Whether a path of one of these peers is still there; False if there is no answer."""

    def why_closed(self, peer: str) -> str:
        """Why the daemon itself ended the session with a peer, in words; empty if that is not known."""


@dataclass(frozen=True, slots=True)
class BmpHabits:
    """Where a daemon's reports by BMP (RFC 7854) are not what happened, so that the reader corrects them.

    Attributes:
        own_asn_in_front: a path from an eBGP neighbour has the daemon's own ASN in front.
        up_since_boot: a session that comes up is dated to the start of the machine.
        stalls_after_down: the queue stops at routes of a session that has ended, until another route comes.
    """

    own_asn_in_front: bool = False
    up_since_boot: bool = False
    stalls_after_down: bool = False


@dataclass(frozen=True, slots=True)
class Daemon:
    """A BGP daemon, part by part. One without `gateway` routes neither in gateways nor in circuits."""

    name: str
    config: Config
    installation: Installation
    services: Services
    tables: Tables
    decide: Decide
    control: Control
    gateway: GatewayControl | None = None
    bmp: BmpHabits = BmpHabits()
