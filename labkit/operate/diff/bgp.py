"""BGP in the running lab against the rules: what speakers keep, say and really hold, and what NICs are given for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import BgpPeer, LearnedRoute, PathAttributes, PeerKind
from labkit.azure.rules.acceptance import originated, originated_in, rejection
from labkit.azure.rules.circuits import CircuitPath, advertised_to_gateway, best_in_circuit, circuit_rejection
from labkit.azure.rules.effective import effective_table, forwarding_key
from labkit.azure.rules.gateway_policy import (
    GatewayPath,
    PathSource,
    advertised_on_premises,
    advertised_to_route_server,
    best_at_gateway,
    gateway_rejection,
    own_paths,
    reported,
)
from labkit.azure.rules.gateways import connected_circuits, session_server
from labkit.azure.rules.rows import as_path_text, effective_json
from labkit.lab.plan.nodes import instance_node
from labkit.operate.look.live_state import ESTABLISHED, LiveState
from labkit.operate.look.snapshot import Snapshot, by_prefix
from labkit.operate.verify.difference import NOTHING, Difference
from labkit.predict.azure_speakers import Advertisements, CircuitTable, GatewayTable, Instance, advertised_by_server

Row = Callable[[PathAttributes], str]


def effective_differences(running: Snapshot) -> Iterator[Difference]:
    """Effective routes as the controller has them against the rules, asked anew; NICs with the same one together."""
    azure, learned = running.azure, {}
    for server in azure.route_servers:
        up = {i for name, i in running.servers if name == server.name}
        tables = [running.at_server((server.name, i), "learned") if i in up else None for i in (0, 1)]
        learned[server.name] = (tables[0], tables[1])
    gateways: dict[str, dict[IPv4Network, tuple[LearnedRoute, ...]]] = {}
    for name, i in running.gateways:
        routes = gateways.setdefault(name, {})
        for prefix, paths in at_gateway(running, (name, i)).items():
            for path in paths:
                route = reported(azure.gateway[name], i, prefix, path)
                if route is not None:
                    routes[prefix] = (*routes.get(prefix, ()), route)
    found: dict[tuple[str, str, str], list[str]] = {}
    for nic in azure.nic:
        rows = effective_table(azure, forwarding_key(azure, nic, learned), learned, gateways)
        model = by_prefix(effective_json(rows)["value"])
        there = by_prefix(running.said["effective"][nic]["value"])
        for prefix in sorted(model.keys() | there.keys()):
            if model.get(prefix) != there.get(prefix):
                texts = (_effective_text(model.get(prefix, [])), _effective_text(there.get(prefix, [])))
                found.setdefault((str(prefix), *texts), []).append(nic)
    for (prefix_text, right, held), nics in found.items():
        where = f"effective routes of {', '.join(nics)}"
        yield Difference(where, prefix_text, right, held, f"labkit effective-routes {nics[0]}")


def server_differences(running: Snapshot, look: LiveState) -> Iterator[Difference]:
    """What every route server instance keeps of what its peers say, and tells them, against the rules."""
    for name, index in running.servers:
        server = running.azure.route_server[name]
        mine = originated(running.azure, name)
        held = running.at_server((name, index), "learned")
        for peer in running.peers(name):
            if not _is_up(look, name, index, peer):
                continue
            node = instance_node(name, index)
            received = running.of_peer((name, index), "received", peer)
            kept = {
                prefix: attributes
                for prefix, attributes in received.items()
                if rejection(LearnedRoute(prefix, attributes, peer), server, mine) is None
            }
            yield from compare(
                f"{node}, learned from {peer.name}",
                kept,
                running.of_peer((name, index), "learned", peer),
                f"labkit learned-routes {name} {peer.name}",
            )
            yield from compare(
                f"{node}, told to {peer.name}",
                advertised_by_server(server, index, peer, running.azure, held),
                running.of_peer((name, index), "advertised", peer),
                f"labkit advertised-routes {name} {peer.name}",
            )


def held_differences(running: Snapshot, look: LiveState) -> Iterator[Difference]:
    """What NVAs' and gateways' FRR holds from route server instances against what these say that they advertise.

    A router drops what has its own ASN in the path, and a gateway what its own rules drop.
    """
    for name, index in running.servers:
        address = running.azure.route_server[name].instances[index]
        for peer in running.peers(name):
            if not _is_up(look, name, index, peer) or peer.name not in look.lab.azure.nic.keys() - look.off:
                continue
            told = running.of_peer((name, index), "advertised", peer)
            accepted = {prefix: a for prefix, a in told.items() if _accepts(running, peer, a)}
            yield from compare(
                f"{peer.name}, from {instance_node(name, index)}",
                accepted,
                in_frr(look, peer.name, address),
                f"labkit routes {peer.name} --bgp",
            )


def gateway_differences(running: Snapshot, look: LiveState) -> Iterator[Difference]:
    """What gateways' instances hold and say against the rules, and what the controller knows of it against FRR."""
    for name, index in running.gateways:
        gateway, node = running.azure.gateway[name], instance_node(name, index)
        hint = f"labkit gateway learned-routes {name}"
        for address, kept in running.at_gateway((name, index)).items():
            who = look.owners.get(address, str(address))
            there = in_frr(look, node, address)
            yield from compare(f"{node}, the controller's, from {who}", there, kept, hint)
        table = at_gateway(running, (name, index))
        best = {prefix: best_at_gateway(gateway, paths) for prefix, paths in table.items()}
        server = session_server(running.azure, gateway)
        for instance in running.servers:
            if server is None or instance[0] != server.name:
                continue
            peer = next(p for p in running.peers(server.name) if p.name == node)
            if not _is_up(look, *instance, peer):
                continue
            told = {
                p: advertised_to_route_server(gateway, index, p, path) for p, path in best.items() if path is not None
            }
            yield from compare(
                f"{instance_node(*instance)}, received from {node}",
                {p: a for p, a in told.items() if a is not None},
                running.of_peer(instance, "received", peer),
                f"labkit learned-routes {server.name} {node}",
            )
        yield from _circuit_differences(running, look, (name, index), best)


def _circuit_differences(
    running: Snapshot, look: LiveState, instance: Instance, best: Mapping[IPv4Network, GatewayPath | None]
) -> Iterator[Difference]:
    """An instance of a gateway and the circuits that it has sessions with, each against what the other should say."""
    gateway, node = running.azure.gateway[instance[0]], instance_node(*instance)
    mine = originated_in(running.azure, gateway.virtual_network)
    server = session_server(running.azure, gateway)
    for circuit in connected_circuits(running.azure, gateway):
        edge = running.heard.edges.get((*instance, circuit.name))
        if edge is None or circuit.name in look.off:
            continue
        told = {
            prefix: advertised_on_premises(gateway, instance[1], mine, circuit.name, prefix, path)
            for prefix, path in best.items()
            if path is not None
        }
        hint = f"labkit routes {circuit.name} --bgp"
        address = gateway.instances[instance[1]]
        there = in_frr(look, circuit.name, address)
        wanted = {
            prefix: attributes
            for prefix, attributes in told.items()
            if attributes is not None and circuit_rejection(CircuitPath(gateway.name, address, attributes)) is None
        }
        yield from compare(f"{circuit.name}, from {node}", wanted, there, hint)
        said = {
            prefix: advertised_to_gateway(gateway, best_in_circuit(paths)[0], edge)
            for prefix, paths in circuit_table(running, look, circuit.name).items()
        }
        kept = {
            prefix: attributes
            for prefix, attributes in said.items()
            if attributes is not None and gateway_rejection(gateway, server, PathSource.ON_PREMISES, attributes) is None
        }
        there = running.at_gateway(instance).get(edge, {})
        yield from compare(f"{node}, from {circuit.name}", kept, there, f"labkit gateway learned-routes {gateway.name}")


def at_gateway(running: Snapshot, instance: Instance) -> GatewayTable:
    """Every path that an instance of a gateway holds, its own first, as the controller knows it."""
    lab, azure = running.lab, running.azure
    gateway = azure.gateway[instance[0]]
    senders: dict[IPv4Address, tuple[PathSource, str]] = {}
    for server in azure.route_servers:
        if server.virtual_network == gateway.virtual_network:
            senders |= dict.fromkeys(server.instances, (PathSource.ROUTE_SERVER, server.name))
    for tunnel in lab.gateway[gateway.name].tunnels:
        senders[tunnel.far] = (PathSource.ON_PREMISES, tunnel.site)
    for line in lab.gateway[gateway.name].lines:
        senders[line.edge] = (PathSource.ON_PREMISES, line.circuit)
    found: dict[IPv4Network, tuple[GatewayPath, ...]] = {
        prefix: (path,) for prefix, path in own_paths(azure, gateway, instance[1]).items()
    }
    for address, kept in running.at_gateway(instance).items():
        for prefix, attributes in kept.items() if address in senders else ():
            path = GatewayPath(*senders[address], address, attributes)
            found[prefix] = (*found.get(prefix, ()), path)
    return found


def circuit_table(running: Snapshot, look: LiveState, circuit: str) -> CircuitTable:
    """Every path that a circuit's edge router holds, as its FRR has it."""
    gateways = {address: g.name for g in running.azure.gateways for address in g.instances}
    found: dict[IPv4Network, tuple[CircuitPath, ...]] = {}
    for path in look.frr(circuit).paths:
        held = CircuitPath(gateways.get(path.neighbour), path.neighbour, path.attributes)
        found[path.prefix] = (*found.get(path.prefix, ()), held)
    return found


def compare(where: str, model: Advertisements, there: Advertisements, hint: str) -> Iterator[Difference]:
    """The prefixes whose attributes differ, ascending."""
    for prefix in sorted(model.keys() | there.keys()):
        one, other = _text(model.get(prefix)), _text(there.get(prefix))
        if one != other:
            yield Difference(where, str(prefix), one, other, hint)


def _text(attributes: PathAttributes | None) -> str:
    """A path as one reads it: what FRR shows too, so without what only some speakers keep."""
    if attributes is None:
        return NOTHING
    words = [
        f"via {attributes.next_hop}",
        f"path {as_path_text(attributes.as_path) or 'empty'}",
        str(attributes.origin),
    ]
    return " ".join([*words, *(f"{high}:{low}" for high, low in attributes.communities)])


def _effective_text(rows: Sequence[tuple[str, str, str, tuple[str, ...]]]) -> str:
    return "; ".join(" ".join([state, source, kind, *hops]) for source, state, kind, hops in rows) or NOTHING


def _is_up(look: LiveState, server: str, index: int, peer: BgpPeer) -> bool:
    key = (server, index, peer.name)
    sessions: Iterable[Mapping[str, object]] = look.state["status"]["sessions"]
    return any((s["route_server"], s["instance"], s["peer"]) == key and s["state"] == ESTABLISHED for s in sessions)


def _accepts(running: Snapshot, peer: BgpPeer, attributes: PathAttributes) -> bool:
    if peer.kind is PeerKind.NVA:
        return peer.asn not in attributes.as_path
    name = peer.name.rpartition("-")[0]
    gateway = running.azure.gateway[name]
    server = session_server(running.azure, gateway)
    return gateway_rejection(gateway, server, PathSource.ROUTE_SERVER, attributes) is None


def in_frr(look: LiveState, node: str, neighbour: IPv4Address) -> Advertisements:
    """What an FRR node holds from a neighbour."""
    return {path.prefix: path.attributes for path in look.frr(node).paths if path.neighbour == neighbour}
