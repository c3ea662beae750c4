"""What NVAs and sites advertise after a change: by their configuration, and by what was changed on them by hand. Pure.

A learner changes their daemons by hand. So what is predicted of them is a difference: what the lab file would make them
advertise after the change against what it makes them advertise now, applied to what they do advertise now.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network

from labkit.azure.model import AsPath, Azure, PathAttributes
from labkit.daemons.speaker import Advertisements, Session
from labkit.predict.azure_speakers import AdjRibsIn, AzureSpeakers
from labkit.predict.converge import AdjRibsOut, ConvergedNetwork, CustomerRouters, RouterState, converge, everything_up

ASSUMED = (
    "NVAs and sites choose and forward as the lab file configures them; they drop nothing.",
    "What was changed on them by hand stays as it is.",
)
"""What a prediction takes for granted, for its readers."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A router advertises a prefix in a way that the lab file does not explain, and has a reason to change it.

    It is taken to keep advertising it.
    """

    router: str
    neighbour: str
    prefix: IPv4Network


class Followers:
    """The NVAs and sites of a running lab, which receive a change and may pass it on.

    Args:
        adj_ribs_out: what they advertise now, on each of their sessions that are up.
    """

    def __init__(
        self, customers: CustomerRouters, azure: Azure, adj_ribs_in: AdjRibsIn, adj_ribs_out: AdjRibsOut
    ) -> None:
        self.customers = customers
        self._established = customers.established(azure, adj_ribs_in, customers.sessions)
        self.now = customers.state(AzureSpeakers(azure, adj_ribs_in), adj_ribs_out)
        self._configured = {
            session: customers.accepted(session, router.advertises(session, self.now.loc_rib[name], adj_rib_in))
            for name, router in customers.routers.items()
            for adj_rib_in in (self.now.adj_rib_in[name],)
            for session in adj_rib_in
        }

    def connected(self, adj_ribs_in: AdjRibsIn, before: Azure, after: Azure) -> AdjRibsIn:
        """What Azure's speakers receive, over the lines and tunnels of connections that there are after a change."""
        lab = self.customers.lab
        were, will = everything_up(lab, before), everything_up(lab, after)
        edges = {line: edge for line, edge in adj_ribs_in.edges.items() if line in will.edges}
        tunnels = {tunnel: far for tunnel, far in adj_ribs_in.tunnels.items() if tunnel in will.tunnels}
        new_edges = {line: edge for line, edge in will.edges.items() if line not in were.edges}
        new_tunnels = {tunnel: far for tunnel, far in will.tunnels.items() if tunnel not in were.tunnels}
        return replace(adj_ribs_in, edges=edges | new_edges, tunnels=tunnels | new_tunnels)

    def after(self, azure: Azure, adj_ribs_in: AdjRibsIn) -> ConvergedNetwork:
        """The network once a model is `azure`, and what its speakers receive from outside has become `adj_ribs_in`.

        On sessions that come up by the change (a route server or a peer that is created) nothing is advertised at
        first.

        Raises:
            OscillationError: the routing never converges.
        """
        coming_up: AdjRibsOut = {session: {} for session in self._coming_up(azure, adj_ribs_in)}
        now = {**coming_up, **self._adj_ribs_out(adj_ribs_in)}
        changed = CustomerRouters(self.customers.lab, azure)
        return converge(changed, azure, adj_ribs_in, now, lambda s, found: self._adjusted(s, now[s], found))

    def unknown(self, azure: Azure, adj_ribs_in: AdjRibsIn, after: RouterState) -> Iterator[Unknown]:
        """Where `after` is not what configurations would make of it, because what is advertised now is not either.

        `azure` and `adj_ribs_in` are as in `after`.
        """
        now = self._adj_ribs_out(adj_ribs_in)
        for name, router in CustomerRouters(self.customers.lab, azure).routers.items():
            own = self.customers.lab.own_routers
            sessions = (s for s in after.adj_rib_in.get(name, ()) if s in self._configured)
            for session in [s for s in sessions if not {name, s.neighbour.name} & own.keys()]:
                advertised = router.advertises(session, after.loc_rib[name], after.adj_rib_in[name])
                made = self.customers.accepted(session, advertised)
                had = self._configured[session]
                for prefix in sorted(made.keys() | had.keys()):
                    one, other = had.get(prefix), now[session].get(prefix)
                    if made.get(prefix) != one and _habit(router.asn, one, other) is None:
                        yield Unknown(name, session.neighbour.name, prefix)

    def _coming_up(self, azure: Azure, adj_ribs_in: AdjRibsIn) -> Iterator[Session]:
        """The sessions that a route server was not configured for before a change, and is after it."""
        established = self.customers.established(azure, adj_ribs_in, self.customers.sessions)
        return (session for session in self.customers.sessions if session in established - self._established)

    def _adj_ribs_out(self, adj_ribs_in: AdjRibsIn) -> AdjRibsOut:
        return self.customers.adj_ribs_out(adj_ribs_in, self.now.adj_rib_out, self.now.adj_rib_out)

    def _adjusted(self, session: Session, now: Advertisements, configured: Advertisements) -> Advertisements:
        if session.router in self.customers.lab.own_routers:
            return now
        asn = self.customers.routers[session.router].asn
        made, had = self.customers.accepted(session, configured), self._configured.get(session, {})
        habits = {_habit(asn, had[p], now[p]) for p in had.keys() & now.keys()}
        usual = next(iter(habits)) if len(habits) == 1 else 0
        found = {}
        for prefix in made.keys() | now.keys():
            one, new = had.get(prefix), made.get(prefix)
            habit = usual if one is None and prefix not in now else _habit(asn, one, now.get(prefix))
            if new == one or habit is None:
                kept = now.get(prefix)
            else:
                kept = new and replace(new, as_path=_longer(new.as_path, asn, habit))
            if kept is not None:
                found[prefix] = kept
        return found


def _habit(asn: int, made: PathAttributes | None, now: PathAttributes | None) -> int | None:
    """How many times more a router puts its ASN into a path than configured; None if it differs in another way."""
    if made is None or now is None:
        return 0 if made is now else None
    more = _own(now.as_path, asn) - _own(made.as_path, asn)
    return more if replace(made, as_path=_longer(made.as_path, asn, more)) == now else None


def _own(as_path: AsPath, asn: int) -> int:
    return next((i for i, hop in enumerate(as_path) if hop != asn), len(as_path))


def _longer(as_path: AsPath, asn: int, times: int) -> AsPath:
    return (asn,) * times + as_path if times >= 0 else as_path[-times:]
