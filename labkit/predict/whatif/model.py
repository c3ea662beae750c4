"""A model before and after changes: every speaker's routes and every NIC's effective routes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from ipaddress import IPv4Network

from labkit.azure.model import Azure, EffectiveRoute
from labkit.azure.rules.gateways import is_instance
from labkit.azure.rules.validation import warnings
from labkit.errors import InvalidInput
from labkit.predict.azure_speakers import AdjRibsIn, AzureSpeakers, OscillationError
from labkit.predict.converge import RouterState
from labkit.predict.whatif.outside import Followers, Unknown
from labkit.predict.whatif.prepend import Prepend

Rows = tuple[EffectiveRoute, ...]


@dataclass(frozen=True)
class Side:
    """A model, what its speakers receive from outside, and what follows from both.

    `routers` is the state of NVAs and sites, where they are part of it.
    """

    azure: Azure
    adj_ribs_in: AdjRibsIn
    routers: RouterState = field(default_factory=RouterState)

    @cached_property
    def speakers(self) -> AzureSpeakers:
        """Every speaker once routing has converged.

        Raises:
            InvalidInput: it never converges.
        """
        with _settles():
            return AzureSpeakers(self.azure, self.adj_ribs_in)

    @property
    def rows(self) -> Mapping[str, Rows]:
        """Every NIC's effective routes."""
        return self.speakers.effective_routes

    def by_prefix(self, nic: str) -> dict[IPv4Network, Rows]:
        """A NIC's effective routes, Active and Invalid, by prefix."""
        found: dict[IPv4Network, Rows] = {}
        for row in self.rows[nic]:
            found[row.prefix] = (*found.get(row.prefix, ()), row)
        return found


@dataclass(frozen=True)
class Prediction:
    """What changes would do. `warnings` are what Azure accepts although it does not work.

    `unknown` is where NVAs and sites have reasons to advertise something else, and it is not known whether they will.
    """

    before: Side
    after: Side
    warnings: tuple[str, ...]
    unknown: tuple[Unknown, ...] = ()


def predict(
    azure: Azure,
    adj_ribs_in: AdjRibsIn,
    changed: Azure,
    prepends: Sequence[Prepend] = (),
    followers: Followers | None = None,
) -> Prediction:
    """Predict what follows where `azure` becomes `changed`, and NVAs prepend.

    The instances of a route server that is created are up. `followers` advertise other routes then; without them, what
    is outside Azure advertises what it does now.

    Raises:
        InvalidInput: an NVA can't prepend like this, or the routes would never settle.
    """
    before = Side(azure, adj_ribs_in, followers.now if followers is not None else RouterState())
    received = _of_servers(adj_ribs_in, azure, changed)
    for prepend in prepends:
        received = prepend.apply(azure, received)
    known = {problem.text for problem in warnings(azure)}
    new = tuple(f"{problem.text}." for problem in warnings(changed) if problem.text not in known)
    if followers is None:
        return Prediction(before, Side(changed, received), new)
    received = followers.connected(received, azure, changed)
    with _settles():
        end = followers.after(changed, received)
    after = Side(changed, end.speakers.adj_ribs_in, end.routers)
    return Prediction(before, after, new, tuple(followers.unknown(changed, received, end.routers)))


def _of_servers(adj_ribs_in: AdjRibsIn, before: Azure, after: Azure) -> AdjRibsIn:
    """What Azure's speakers receive, without route servers and gateways that are deleted, with those created."""
    servers = {i: table for i, table in adj_ribs_in.servers.items() if i.name in after.route_server}
    gateways = {i: table for i, table in adj_ribs_in.gateways.items() if is_instance(after, i)}
    instances = (i for gateway in after.gateways for i in gateway.instance_ids)
    gateways |= {i: {} for i in instances if not is_instance(before, i)}
    created = [server for server in after.route_servers if server.name not in before.route_server]
    return replace(
        adj_ribs_in, gateways=gateways, servers=servers | {i: {} for server in created for i in server.instance_ids}
    )


@contextmanager
def _settles() -> Iterator[None]:
    try:
        yield
    except OscillationError:
        raise InvalidInput(
            "routing would oscillate: a route leads to its own withdrawal.",
            "Look for a loop of gateways, circuits, route servers and NVAs in it.",
        ) from None


def same(one: Iterable[EffectiveRoute], other: Iterable[EffectiveRoute]) -> bool:
    """Whether rows of one prefix are the same, whatever their order."""
    return set(one) == set(other)
