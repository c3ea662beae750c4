"""The running lab outside Azure against the rules: what sites receive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network

from labkit.azure.model import PathAttributes
from labkit.azure.rules.acceptance import originated_in
from labkit.azure.rules.circuits import advertised_to_customer, best_in_circuit
from labkit.azure.rules.gateway_policy import advertised_on_premises, best_at_gateway
from labkit.daemons.speaker import Advertisements, Session
from labkit.operate.diff.bgp import at_gateway, circuit_table, compare
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.snapshot import Snapshot
from labkit.operate.verify.difference import Difference
from labkit.predict.customer_routers import routers


def site_differences(snapshot: Snapshot, live: LiveState) -> Iterator[Difference]:
    """What sites have from gateways and circuits against what these should advertise to them."""
    customers = routers(snapshot.lab, snapshot.azure)
    for site in snapshot.lab.sites:
        if not live.has_bgp(site.name):
            continue
        for session in customers[site.name].sessions:
            far, address = session.neighbour.name, session.neighbour.address
            if not live.bgp(site.name).is_established(address) or not live.has_bgp(far):
                continue
            advertised = _advertised(snapshot, live, session)
            if advertised is not None:
                accepted = customers[site.name].import_policy(advertised)
                there = live.bgp(site.name).adj_rib_in(address)
                yield from compare(f"{site.name}, from {far}", accepted, there, f"labkit routes {site.name} --bgp")


def _advertised(snapshot: Snapshot, live: LiveState, session: Session) -> Advertisements | None:
    """What a site should receive on a session with a gateway or a circuit; None on any other."""
    far, address = session.neighbour.name, session.neighbour.address
    if far in snapshot.azure.circuit:
        table = circuit_table(snapshot, live, far)
        return _given({p: advertised_to_customer(best_in_circuit(paths)[0], address) for p, paths in table.items()})
    for instance in snapshot.gateways:
        gateway = snapshot.azure.gateway[instance.name]
        if instance.node == far:
            mine, found = originated_in(snapshot.azure, gateway.virtual_network), {}
            for prefix, paths in at_gateway(snapshot, instance).items():
                best = best_at_gateway(gateway, paths)
                if best is not None:
                    found[prefix] = advertised_on_premises(gateway, instance.index, mine, session.router, prefix, best)
            return _given(found)
    return None


def _given(routes: Mapping[IPv4Network, PathAttributes | None]) -> Advertisements:
    return {prefix: attributes for prefix, attributes in routes.items() if attributes is not None}
