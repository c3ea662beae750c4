"""A lab: the Azure objects and the world around them, as immutable values.

`labkit.lab.load` builds it from a lab file; `labkit.lab.build` turns it into nodes, links and files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from labkit.azure.model import Azure, ExportRule
from labkit.azure.rules.firewalls import PRIVATE
from labkit.daemons.registry import DEFAULT
from labkit.daemons.speaker import AZURE_TIMERS, BgpTimers
from labkit.lab.proofs import Proof

LAN_SUFFIX = "-lan"
"""What follows a site's name in that of the switch of its LAN."""


class Snat(StrEnum):
    """What gets a NIC's address as its source when an appliance forwards it by that NIC, by where it goes to."""

    PUBLIC = "public"
    ALL = "all"

    def covers(self, target: IPv4Address) -> bool:
        """Whether it is for packets to `target`."""
        return self is Snat.ALL or not any(target in private for private in PRIVATE)


@dataclass(frozen=True, slots=True)
class NvaPeer:
    """An NVA's end of its BGP session with the NVA `name`: from its own `nic` to `far_nic`.

    The session is internal if both have the same ASN; then the other one may be a `route_reflector_client` (RFC 4456).
    """

    name: str
    nic: str
    far_nic: str
    route_reflector_client: bool = False
    next_hop_self: bool = False


@dataclass(frozen=True, slots=True)
class Container:
    """An image of the user's own for a node, in containerlab's terms; sources of `binds` begin at the lab file."""

    image: str
    binds: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cmd: str = ""
    cap_add: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Nva:
    """A network virtual appliance: a router behind one NIC or several, which runs the BGP daemon `daemon`.

    Without `asn` it has no BGP. `route_servers` are those that have it as a peer, each with the NIC of the session;
    `peers` are its sessions with other NVAs. `snat` has the NICs whose address packets get that it forwards by them,
    and where that is its only one, over links as well; a `stateful` one drops TCP and answers by UDP that it has not
    seen begin. With `requires_policy` it neither advertises nor accepts anything by external BGP. It withdraws what it
    advertises while what it `tracks` does not answer. `static_routes` lead to NICs and the far ends of links, by name,
    and to addresses; with `policy_routing` each NIC has a routing table of its own. What it advertises, and by which
    export policy, is in `Azure.appliance`: it changes while a lab runs.

    `loopback` is its BGP identifier, and its address in sessions with other NVAs. Its BGP may be the user's own: by the
    file `config` next to the lab file, or in a `container`.
    """

    name: str
    asn: int | None
    loopback: IPv4Address | None = None
    snat: Mapping[str, Snat] = field(default_factory=dict)
    timers: BgpTimers = AZURE_TIMERS
    route_servers: Mapping[str, str] = field(default_factory=dict)
    peers: tuple[NvaPeer, ...] = ()
    requires_policy: bool = False
    ebgp_multihop: bool = True
    redistribute_static: bool = False
    stateful: bool = False
    tracks: IPv4Address | None = None
    static_routes: tuple[tuple[IPv4Network, str | IPv4Address], ...] = ()
    policy_routing: bool = False
    daemon: str = DEFAULT
    config: str = ""
    container: Container | None = None

    @property
    def own_router(self) -> str:
        """What its BGP is by, where that is not labkit, so that it can't be predicted; empty if it can."""
        if self.container is not None:
            return f"runs an image of its own ({self.container.image})"
        return f"has a configuration of its own ({self.config})" if self.config else ""

    def translates(self, target: IPv4Address, nic: str | None) -> str | None:
        """The NIC whose address a packet to `target` gets that it forwards by `nic`, or over a link; None for none."""
        # The only NIC of an appliance has the appliance's name: whatever it translates leaves with that one's address.
        by = self.name if self.name in self.snat else nic
        return by if by is not None and by in self.snat and self.snat[by].covers(target) else None


@dataclass(frozen=True, slots=True)
class SiteHost:
    """The host on a site's LAN; `address` carries the LAN's prefix length."""

    name: str
    address: IPv4Interface


@dataclass(frozen=True, slots=True)
class SiteRouter:
    """A router of the site `site`; the only one has its name.

    `lan` holds its own address in each prefix of the site, in order. It originates these prefixes, what it
    `advertises`, and with `advertise_links` the ranges of its links. `static_routes` lead to the far ends of links and
    to routers of its site, by name, and to addresses. With `transit` it relays what it has from one circuit to the
    others. With `snat` it has a link to the Internet, and what it forwards there gets its public address.
    """

    name: str
    site: str
    asn: int
    lan: tuple[IPv4Interface, ...]
    advertises: tuple[IPv4Network, ...] = ()
    advertise_links: bool = False
    static_routes: tuple[tuple[IPv4Network, str | IPv4Address], ...] = ()
    exports: tuple[ExportRule, ...] = ()
    transit: bool = False
    snat: bool = False
    daemon: str = DEFAULT


@dataclass(frozen=True, slots=True)
class Site:
    """A branch or data centre: its routers, and one host in the first of its prefixes.

    All of them are on one LAN; `default_gateway` is the router that the host sends everything else to.
    """

    name: str
    routers: tuple[SiteRouter, ...]
    host: SiteHost
    default_gateway: str

    @property
    def gateway(self) -> SiteRouter:
        """The router that the host sends everything else to."""
        return next(router for router in self.routers if router.name == self.default_gateway)

    @property
    def switch(self) -> str | None:
        """The node that joins the routers and the host; None where there is one router."""
        return f"{self.name}{LAN_SUFFIX}" if len(self.routers) > 1 else None


@dataclass(frozen=True, slots=True)
class WanLink:
    """A point-to-point link between an NVA, a circuit or a site's router (`router`) and a site's, with both addresses.

    `site` is the name of the router at the site.
    """

    router: str
    site: str
    router_address: IPv4Interface
    site_address: IPv4Interface


@dataclass(frozen=True, slots=True)
class Overlay:
    """A VXLAN tunnel between two NVAs, from NIC to NIC, with each side's address in it.

    A `public` one goes over the Internet, to the public address of the other's NIC (`Internet.translated`).
    """

    nvas: tuple[str, str]
    nics: tuple[str, str]
    addresses: tuple[IPv4Interface, IPv4Interface]
    vni: int
    public: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """The line from an instance of a gateway to an edge router of a circuit, whose end has the address `edge`.

    The instance's end has the instance's own address: no packet shows the line itself. `next_hop` is what NICs have for
    what lies behind the circuit: an address of the platform that no node has.
    """

    instance: int
    circuit: str
    router: str
    edge: IPv4Address
    next_hop: IPv4Address


@dataclass(frozen=True, slots=True)
class TunnelEnd:
    """An end of a VPN tunnel: `node` is the router, `name` the object that the router is, or is an instance of.

    `address` is the node's own in the tunnel, and in a BGP session through it; `static_prefixes` are what it sends into
    the tunnel without BGP.
    """

    node: str
    name: str
    address: IPv4Address
    static_prefixes: tuple[IPv4Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A tunnel of a VPN gateway's connection, as its end `near` has it; `bgp` if there is a session through it.

    One end is an instance of the gateway, the other one a site, an NVA, or an instance of another gateway.
    """

    near: TunnelEnd
    far: TunnelEnd
    vni: int
    bgp: bool = True

    @property
    def turned(self) -> Tunnel:
        """The tunnel as the other end has it."""
        return Tunnel(self.far, self.near, self.vni, self.bgp)


@dataclass(frozen=True, slots=True)
class Gateway:
    """What a gateway's instances need beyond what Azure knows of it: lines and their BGP timers."""

    name: str
    lines: tuple[Line, ...] = ()
    timers: BgpTimers = AZURE_TIMERS
    daemon: str = DEFAULT


@dataclass(frozen=True, slots=True)
class Circuit:
    """What a circuit's edge routers need beyond what Azure knows of the circuit: the BGP daemon that they run."""

    name: str
    daemon: str = DEFAULT


@dataclass(frozen=True, slots=True)
class InternetLeg:
    """The Internet's leg into one virtual network: `public` is what its private sources become outside."""

    virtual_network: str
    public: IPv4Address


@dataclass(frozen=True, slots=True)
class Internet:
    """The simulated Internet: a documentation prefix, the host that answers in it, a leg per virtual network.

    `public` are the addresses of nodes that stand in it themselves: VPN gateways' instances and the sites they reach.
    `translated` are the public addresses of NICs, by name: what is sent to one gets to the NIC at its own address
    [public-address].
    """

    name: str
    prefix: IPv4Network
    host: IPv4Address
    legs: tuple[InternetLeg, ...]
    public: Mapping[str, IPv4Address] = field(default_factory=dict)
    translated: Mapping[str, IPv4Address] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VirtualMachine:
    """A virtual machine, and whether each of its NICs has a routing table of its own (`plan.nic_tables`)."""

    name: str
    policy_routing: bool = False


@dataclass(frozen=True)
class Lab:
    """A whole lab, valid by construction: `labkit.lab.load` refuses all else. `variant` is "" for the base."""

    name: str
    azure: Azure
    nvas: tuple[Nva, ...] = ()
    overlays: tuple[Overlay, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    tunnels: tuple[Tunnel, ...] = ()
    circuits: tuple[Circuit, ...] = ()
    sites: tuple[Site, ...] = ()
    wan_links: tuple[WanLink, ...] = ()
    internet: Internet | None = None
    virtual_machines: tuple[VirtualMachine, ...] = ()
    proofs: tuple[Proof, ...] = ()
    variant: str = ""

    @cached_property
    def nva(self) -> Mapping[str, Nva]:
        """NVAs by name."""
        return {n.name: n for n in self.nvas}

    @cached_property
    def bgp_nvas(self) -> tuple[Nva, ...]:
        """The NVAs with BGP."""
        return tuple(nva for nva in self.nvas if nva.asn is not None)

    @cached_property
    def own_routers(self) -> Mapping[str, str]:
        """What of the lab's routers is not predicted, as a line for people by the router's name."""
        return {n.name: f"{n.name} {n.own_router}: what it does is not predicted." for n in self.nvas if n.own_router}

    @cached_property
    def gateway(self) -> Mapping[str, Gateway]:
        """Gateways by name."""
        return {g.name: g for g in self.gateways}

    def tunnels_of(self, node: str) -> tuple[Tunnel, ...]:
        """The VPN tunnels of a router's node, each as its end there has it."""
        return self._tunnels.get(node, ())

    @cached_property
    def _tunnels(self) -> Mapping[str, tuple[Tunnel, ...]]:
        found: dict[str, tuple[Tunnel, ...]] = {}
        for each in (end for tunnel in self.tunnels for end in (tunnel, tunnel.turned)):
            found[each.near.node] = (*found.get(each.near.node, ()), each)
        return found

    @cached_property
    def policy_routed(self) -> frozenset[str]:
        """The machines with several NICs each of which has a routing table of its own."""
        machines: tuple[Nva | VirtualMachine, ...] = (*self.nvas, *self.virtual_machines)
        return frozenset(m.name for m in machines if m.policy_routing and len(self.azure.nics_of(m.name)) > 1)

    @cached_property
    def site(self) -> Mapping[str, Site]:
        """Sites by name."""
        return {s.name: s for s in self.sites}

    @cached_property
    def site_router(self) -> Mapping[str, SiteRouter]:
        """The routers of all sites by name."""
        return {router.name: router for site in self.sites for router in site.routers}
