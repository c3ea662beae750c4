"""BGP in the running lab against the rules: speakers' RIBs, and the effective routes that follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import BgpPeer, InstanceId, LearnedRoute, PathAttributes, PeerKind
from labkit.azure.rules.acceptance import originated, originated_in, rejection
from labkit.azure.rules.circuits import CircuitPath, advertised_to_gateway, best_in_circuit, circuit_rejection
from labkit.azure.rules.effective import effective_table, forwarding_key
from labkit.azure.rules.gateway_policy import (
    GatewayPath,
    PathSource,
    advertised_on_premises,
    advertised_to_instance,
    advertised_to_route_server,
    best_at_gateway,
    gateway_rejection,
    own_paths,
    programmed_by_gateway,
    reached_from,
    resolves,
)
from labkit.azure.rules.gateways import connected_circuits, internal_peers, routing_weight, session_server
from labkit.azure.rules.rows import as_path_text, effective_json
from labkit.daemons.speaker import Advertisements
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.snapshot import Snapshot, by_prefix
from labkit.operate.verify.difference import NOTHING, Difference
from labkit.predict.azure_speakers import CircuitLine, CircuitTable, GatewayTable, advertised_by_server
from labkit.predict.customer_routers import routers

Row = Callable[[PathAttributes], str]


def effective_differences(snapshot: Snapshot) -> Iterator[Difference]:
    """Effective routes as the controller has them against the rules; NICs with the same difference together."""
    azure, learned = snapshot.azure, {}
    for server in azure.route_servers:
        up = set(snapshot.servers)
        tables = [snapshot.at_server(i, "learned") if i in up else None for i in server.instance_ids]
        learned[server.name] = (tables[0], tables[1])
    gateways: dict[str, dict[IPv4Network, tuple[LearnedRoute, ...]]] = {}
    for instance in snapshot.gateways:
        gateway, routes = azure.gateway[instance.name], gateways.setdefault(instance.name, {})
        for prefix, paths in at_gateway(snapshot, instance).items():
            programmed = tuple(programmed_by_gateway(azure, gateway, instance.index, prefix, paths))
            if programmed:
                routes[prefix] = (*routes.get(prefix, ()), *programmed)
    found: dict[tuple[str, str, str], list[str]] = {}
    for nic in azure.nic:
        rows = effective_table(azure, forwarding_key(azure, nic, learned), learned, gateways)
        model = by_prefix(effective_json(rows)["value"])
        there = by_prefix(snapshot.model.effective[nic]["value"])
        for prefix in sorted(model.keys() | there.keys()):
            if model.get(prefix) != there.get(prefix):
                texts = (_effective_text(model.get(prefix, [])), _effective_text(there.get(prefix, [])))
                found.setdefault((str(prefix), *texts), []).append(nic)
    for (prefix_text, right, held), nics in found.items():
        where = f"effective routes of {', '.join(nics)}"
        yield Difference(where, prefix_text, right, held, f"labkit effective-routes {nics[0]}")


def server_differences(snapshot: Snapshot, live: LiveState) -> Iterator[Difference]:
    """What every route server instance accepts from its peers, and advertises to them, against the rules."""
    for instance in snapshot.servers:
        name, node = instance.name, instance.node
        server = snapshot.azure.route_server[name]
        mine = originated(snapshot.azure, name)
        learned = snapshot.at_server(instance, "learned")
        for peer in snapshot.peers(name):
            if not _is_up(live, instance, peer):
                continue
            received = snapshot.of_peer(instance, "received", peer)
            accepted = {
                prefix: attributes
                for prefix, attributes in received.items()
                if rejection(LearnedRoute(prefix, attributes, peer), server, mine) is None
            }
            yield from compare(
                f"{node}, learned from {peer.name}",
                accepted,
                snapshot.of_peer(instance, "learned", peer),
                f"labkit learned-routes {name} {peer.name}",
            )
            yield from compare(
                f"{node}, advertised to {peer.name}",
                advertised_by_server(server, instance.index, peer, snapshot.azure, learned),
                snapshot.of_peer(instance, "advertised", peer),
                f"labkit advertised-routes {name} {peer.name}",
            )


def held_differences(snapshot: Snapshot, live: LiveState) -> Iterator[Difference]:
    """What NVAs and gateways have from route server instances against what these report as advertised.

    Of NVAs with routers of the user's own it is not known what they drop.

    A router drops what has its own ASN in the path, or everything without a policy; a gateway what its own rules drop,
    and what has a next hop that it does not reach.
    """
    customers = routers(snapshot.lab, snapshot.azure)
    for instance in snapshot.servers:
        address = snapshot.azure.route_server[instance.name].instances[instance.index]
        for peer in snapshot.peers(instance.name):
            there = peer.name in live.lab.azure.nic.keys() - live.off - live.lab.own_routers.keys()
            if not there or not _is_up(live, instance, peer):
                continue
            advertised = snapshot.of_peer(instance, "advertised", peer)
            if peer.kind is PeerKind.NVA:
                router, held = customers[peer.name], live.bgp(peer.name).adj_rib_in(address)
                session = router.by_address.get(address)
                if session is None:  # configured by hand, which is a difference of its own
                    continue
                accepted = router.import_policy(session, advertised)
            else:
                accepted, held = _gateway_accepts(snapshot, peer, advertised), live.bgp(peer.name).resolved(address)
            where = f"{peer.name}, from {instance.node}"
            yield from compare(where, accepted, held, f"labkit routes {peer.name} --bgp")


def gateway_differences(snapshot: Snapshot, live: LiveState) -> Iterator[Difference]:
    """What gateways' instances accept and advertise against the rules, and the controller's view against theirs."""
    for mine in snapshot.gateways:
        name, node = mine.name, mine.node
        gateway = snapshot.azure.gateway[name]
        hint = f"labkit routes {node} --bgp"
        for address, accepted in snapshot.at_gateway(mine).items():
            who = live.owners.get(address, str(address))
            there = live.bgp(node).resolved(address)
            yield from compare(f"{node}, the controller's, from {who}", there, accepted, hint)
        table = at_gateway(snapshot, mine)
        best = {prefix: best_at_gateway(gateway, paths) for prefix, paths in table.items()}
        server = session_server(snapshot.azure, gateway)
        for instance in snapshot.servers:
            if server is None or instance.name != server.name:
                continue
            peer = next(p for p in snapshot.peers(server.name) if p.name == node)
            if not _is_up(live, instance, peer):
                continue
            advertised = {
                p: advertised_to_route_server(gateway, mine.index, p, path)
                for p, path in best.items()
                if path is not None
            }
            yield from compare(
                f"{instance.node}, received from {node}",
                {p: a for p, a in advertised.items() if a is not None},
                snapshot.of_peer(instance, "received", peer),
                f"labkit learned-routes {server.name} {node}",
            )
        yield from _internal_differences(snapshot, mine)
        yield from _circuit_differences(snapshot, live, mine, best)
        yield from _far_differences(snapshot, mine)


def _far_differences(snapshot: Snapshot, instance: InstanceId) -> Iterator[Difference]:
    """What an instance of a gateway has from those of other gateways against what they should advertise to it."""
    azure, there = snapshot.azure, snapshot.at_gateway(instance)
    gateway = azure.gateway[instance.name]
    for (near, far), address in snapshot.adj_ribs_in.tunnels.items():
        if near != instance:
            continue
        advertised = to_neighbour(snapshot, far, gateway.name, address)
        source = PathSource.ON_PREMISES
        accepted = {p: a for p, a in advertised.items() if gateway_rejection(gateway, None, source, a) is None}
        hint = f"labkit routes {instance.node} --bgp"
        yield from compare(f"{instance.node}, from {far.node}", accepted, there[address], hint)


def to_neighbour(snapshot: Snapshot, instance: InstanceId, neighbour: str, address: IPv4Address) -> Advertisements:
    """What an instance of a VPN gateway should advertise through a tunnel in which it has the address."""
    gateway = snapshot.azure.gateway[instance.name]
    mine, found = originated_in(snapshot.azure, gateway.virtual_network), {}
    for prefix, paths in at_gateway(snapshot, instance).items():
        best = best_at_gateway(gateway, paths)
        if best is not None:
            attributes = advertised_on_premises(gateway, instance.index, mine, neighbour, prefix, best)
            if attributes is not None:
                found[prefix] = replace(attributes, next_hop=address)
    return found


def _internal_differences(snapshot: Snapshot, mine: InstanceId) -> Iterator[Difference]:
    """What an instance of a gateway has from others by internal BGP against what these should advertise to it."""
    azure, running = snapshot.azure, set(snapshot.gateways)
    for other in internal_peers(azure, mine):
        gateway = azure.gateway[other.name]
        accepted = snapshot.at_gateway(mine).get(gateway.instances[other.index])
        if other not in running or accepted is None:
            continue
        best = {prefix: best_at_gateway(gateway, paths) for prefix, paths in at_gateway(snapshot, other).items()}
        advertised = {
            prefix: advertised_to_instance(gateway, other.index, mine.name, path)
            for prefix, path in best.items()
            if path is not None
        }
        hint = f"labkit routes {mine.node} --bgp"
        given = {prefix: attributes for prefix, attributes in advertised.items() if attributes is not None}
        yield from compare(f"{mine.node}, from {other.node}", given, accepted, hint)


def _circuit_differences(
    snapshot: Snapshot, live: LiveState, instance: InstanceId, best: Mapping[IPv4Network, GatewayPath | None]
) -> Iterator[Difference]:
    """An instance of a gateway and its circuits, each against what the other should advertise to it."""
    gateway, node = snapshot.azure.gateway[instance.name], instance.node
    mine = originated_in(snapshot.azure, gateway.virtual_network)
    server = session_server(snapshot.azure, gateway)
    routers = [(circuit, r) for circuit in connected_circuits(snapshot.azure, gateway) for r in circuit.edge_routers]
    for circuit, router in routers:
        edge = snapshot.adj_ribs_in.edges.get(CircuitLine(instance, router))
        if edge is None or router in live.off:
            continue
        advertised = {
            prefix: advertised_on_premises(gateway, instance.index, mine, circuit.name, prefix, path)
            for prefix, path in best.items()
            if path is not None
        }
        hint = f"labkit routes {router} --bgp"
        address = gateway.instances[instance.index]
        there = live.bgp(router).adj_rib_in(address)
        wanted = {
            prefix: attributes
            for prefix, attributes in advertised.items()
            if attributes is not None and circuit_rejection(CircuitPath(gateway.name, address, attributes)) is None
        }
        yield from compare(f"{router}, from {node}", wanted, there, hint)
        received = {
            prefix: advertised_to_gateway(gateway, best_in_circuit(paths)[0], edge)
            for prefix, paths in circuit_table(snapshot, live, router).items()
        }
        accepted = {
            prefix: attributes
            for prefix, attributes in received.items()
            if attributes is not None and gateway_rejection(gateway, server, PathSource.ON_PREMISES, attributes) is None
        }
        at_edge = snapshot.at_gateway(instance).get(edge, {})
        yield from compare(f"{node}, from {router}", accepted, at_edge, f"labkit routes {node} --bgp")


def at_gateway(snapshot: Snapshot, instance: InstanceId) -> GatewayTable:
    """Every path of an instance of a gateway, its own first, as the controller has it."""
    lab, azure = snapshot.lab, snapshot.azure
    gateway = azure.gateway[instance.name]
    senders: dict[IPv4Address, tuple[PathSource, str]] = {}
    for server in azure.route_servers:
        if server.virtual_network == gateway.virtual_network:
            senders |= dict.fromkeys(server.instances, (PathSource.ROUTE_SERVER, server.name))
    for other in internal_peers(azure, instance):
        source = PathSource.INSTANCE if other.name == instance.name else PathSource.GATEWAY
        senders[azure.gateway[other.name].instances[other.index]] = source, other.name
    for tunnel in lab.tunnels_of(instance.node):
        senders[tunnel.far.address] = (PathSource.ON_PREMISES, tunnel.far.name)
    for line in lab.gateway[gateway.name].lines:
        senders[line.edge] = (PathSource.ON_PREMISES, line.circuit)
    found: dict[IPv4Network, tuple[GatewayPath, ...]] = {
        prefix: (path,) for prefix, path in own_paths(azure, gateway, instance.index).items()
    }
    for address, accepted in snapshot.at_gateway(instance).items():
        for prefix, attributes in accepted.items() if address in senders else ():
            source, sender = senders[address]
            path = GatewayPath(source, sender, address, attributes, routing_weight(azure, gateway, sender))
            found[prefix] = (*found.get(prefix, ()), path)
    return found


def circuit_table(snapshot: Snapshot, live: LiveState, router: str) -> CircuitTable:
    """Every path of an edge router of a circuit, as its daemon has it."""
    gateways = {address: g.name for g in snapshot.azure.gateways for address in g.instances}
    found: dict[IPv4Network, tuple[CircuitPath, ...]] = {}
    for path in live.bgp(router).paths:
        received = CircuitPath(gateways.get(path.neighbour), path.neighbour, path.attributes)
        found[path.prefix] = (*found.get(path.prefix, ()), received)
    return found


def compare(where: str, model: Advertisements, there: Advertisements, hint: str) -> Iterator[Difference]:
    """The prefixes whose attributes differ, ascending."""
    for prefix in sorted(model.keys() | there.keys()):
        one, other = _text(model.get(prefix)), _text(there.get(prefix))
        if one != other:
            yield Difference(where, str(prefix), one, other, hint)


def _text(attributes: PathAttributes | None) -> str:
    """A path as one reads it: what every daemon shows, so without what only some of them do."""
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


def _is_up(live: LiveState, instance: InstanceId, peer: BgpPeer) -> bool:
    sessions = live.state.status.sessions
    return any((session.id, session.peer) == (instance, peer.name) and session.established for session in sessions)


def _gateway_accepts(
    snapshot: Snapshot, peer: BgpPeer, advertised: Advertisements
) -> dict[IPv4Network, PathAttributes]:
    """What an instance of a gateway accepts of what its route server advertises to it."""
    azure, source = snapshot.azure, PathSource.ROUTE_SERVER
    instance = next(each for each in snapshot.gateways if each.node == peer.name)
    gateway = azure.gateway[instance.name]
    server = session_server(azure, gateway)
    lines = snapshot.adj_ribs_in.edges.items()
    edges = (
        edge for line, edge in lines if azure.gateway[line.instance.name].virtual_network == gateway.virtual_network
    )
    reached = reached_from(azure, gateway, edges, at_gateway(snapshot, instance))
    return {
        prefix: attributes
        for prefix, attributes in advertised.items()
        if gateway_rejection(gateway, server, source, attributes) is None
        and resolves(GatewayPath(source, "", peer.address, attributes), reached)
    }
