"""The running lab outside Azure against the rules: what sites are told, and what routers' kernels forward by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network

from labkit.azure.model import PathAttributes
from labkit.azure.rules.acceptance import originated_in
from labkit.azure.rules.circuits import advertised_to_customer, best_in_circuit
from labkit.azure.rules.gateway_policy import advertised_on_premises, best_at_gateway
from labkit.lab.plan.nodes import gateway_nodes, instance_node
from labkit.operate.diff.bgp import at_gateway, circuit_table, compare, in_frr
from labkit.operate.look.live_state import ESTABLISHED, LiveState
from labkit.operate.look.snapshot import Snapshot
from labkit.operate.verify.difference import NOTHING, Difference
from labkit.predict.azure_speakers import Advertisements
from labkit.predict.customer_routers import Session, routers


def site_differences(running: Snapshot, look: LiveState) -> Iterator[Difference]:
    """What sites hold of gateways and circuits against what these should tell them."""
    outside = routers(running.lab)
    for site in running.lab.sites:
        if not look.has_bgp(site.name):
            continue
        for session in outside[site.name].sessions:
            far, address = session.neighbour.name, session.neighbour.address
            if look.frr(site.name).sessions.get(address) != ESTABLISHED or not look.has_bgp(far):
                continue
            told = _told(running, look, session)
            if told is not None:
                kept = outside[site.name].kept(told)
                there = in_frr(look, site.name, address)
                yield from compare(f"{site.name}, from {far}", kept, there, f"labkit routes {site.name} --bgp")


def router_kernel_differences(look: LiveState) -> Iterator[Difference]:
    """The prefixes that a router's FRR uses and its kernel does not know, or the other way round."""
    lab = look.lab
    nodes = [*lab.nva, *lab.azure.circuit, *lab.site]
    nodes += [node for gateway in lab.azure.gateways for node in gateway_nodes(gateway)]
    for node in nodes:
        if not look.has_bgp(node):
            continue
        used = {path.prefix for path in look.frr(node).paths if path.best}
        kernel = look.kernel(node)
        for prefix in sorted(used - {route.prefix for route in kernel}):
            yield Difference(f"kernel of {node}", str(prefix), "a route by BGP", NOTHING, f"labkit routes {node}")
        for prefix in sorted({route.prefix for route in kernel if route.protocol == "bgp"} - used):
            yield Difference(f"kernel of {node}", str(prefix), NOTHING, "a route by BGP", f"labkit routes {node}")


def _told(running: Snapshot, look: LiveState, session: Session) -> Advertisements | None:
    """What a site should be told on a session with a gateway or a circuit; None on any other."""
    far, address = session.neighbour.name, session.neighbour.address
    if far in running.azure.circuit:
        table = circuit_table(running, look, far)
        return _given({p: advertised_to_customer(best_in_circuit(paths)[0], address) for p, paths in table.items()})
    for name, index in running.gateways:
        gateway = running.azure.gateway[name]
        if instance_node(name, index) == far:
            mine, found = originated_in(running.azure, gateway.virtual_network), {}
            for prefix, paths in at_gateway(running, (name, index)).items():
                best = best_at_gateway(gateway, paths)
                if best is not None:
                    found[prefix] = advertised_on_premises(gateway, index, mine, session.router, prefix, best)
            return _given(found)
    return None


def _given(told: Mapping[IPv4Network, PathAttributes | None]) -> Advertisements:
    return {prefix: attributes for prefix, attributes in told.items() if attributes is not None}
