"""The running lab outside Azure against the rules: what sites and NVAs receive from gateways and circuits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network

from labkit.azure.model import PathAttributes
from labkit.azure.rules.circuits import advertised_to_customer, best_in_circuit
from labkit.daemons.speaker import Advertisements, Session
from labkit.operate.diff.bgp import circuit_table, compare, to_neighbour
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.snapshot import Snapshot
from labkit.operate.verify.difference import Difference
from labkit.predict.customer_routers import routers


def site_differences(snapshot: Snapshot, live: LiveState) -> Iterator[Difference]:
    """What sites and NVAs have from gateways and circuits against what these should advertise to them.

    Of NVAs with routers of the user's own it is not known what they drop.
    """
    for name, router in routers(snapshot.lab, snapshot.azure).items():
        if not live.has_bgp(name) or name in live.lab.own_routers:
            continue
        for session in router.sessions:
            far, address = session.neighbour.name, session.neighbour.address
            advertised = _advertised(snapshot, live, session) if live.has_bgp(far) else None
            if advertised is not None and live.bgp(name).is_established(address):
                accepted, there = router.import_policy(session, advertised), live.bgp(name).adj_rib_in(address)
                yield from compare(f"{name}, from {far}", accepted, there, f"labkit routes {name} --bgp")


def _advertised(snapshot: Snapshot, live: LiveState, session: Session) -> Advertisements | None:
    """What a router should receive on a session with a gateway or a circuit; None on any other."""
    far, address = session.neighbour.name, session.neighbour.address
    if far in snapshot.azure.edge_router:
        table = circuit_table(snapshot, live, far)
        return _given({p: advertised_to_customer(best_in_circuit(paths)[0], address) for p, paths in table.items()})
    for instance in snapshot.gateways:
        if instance.node == far:
            return to_neighbour(snapshot, instance, session.router, address)
    return None


def _given(routes: Mapping[IPv4Network, PathAttributes | None]) -> Advertisements:
    return {prefix: attributes for prefix, attributes in routes.items() if attributes is not None}
