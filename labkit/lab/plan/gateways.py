"""The nodes of gateways: their instances, and the edge routers of ExpressRoute circuits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address

from labkit.azure.model import ROUTE_SERVER_ASN, Circuit, InstanceId, PeerKind
from labkit.azure.rules.acceptance import originated_in
from labkit.azure.rules.addressing import gateway_address
from labkit.azure.rules.adjacency import local_and_adjacent_ranges, server_in
from labkit.azure.rules.asn import MICROSOFT_ASN, is_private
from labkit.azure.rules.communities import RELAYED
from labkit.azure.rules.gateways import session_server
from labkit.azure.rules.limits import (
    CUSTOMER_TO_CIRCUIT_ROUTES,
    GATEWAY_TO_CIRCUIT_ROUTES,
    PREMIUM_CUSTOMER_TO_CIRCUIT_ROUTES,
    VPN_GATEWAY_ROUTES,
)
from labkit.lab.model import Gateway, Lab, Tunnel
from labkit.lab.plan.common import (
    Planned,
    interface_up,
    nftables,
    node_file,
    platform_channel,
    point_to_point,
    ready,
)
from labkit.lab.plan.model import Role
from labkit.lab.plan.nodes import INSTANCES, NIC
from labkit.lab.plan.platform import nic_interface, subnet_of
from labkit.lab.plan.routers import FRR_SERVICES, frr_node
from labkit.lab.plan.tunnels import internet_commands, tunnel_commands
from labkit.lab.plan.wires import LineWire, line_wires, wan_wires
from labkit.lab.sessions import router_id

SERVICE = "gateway"
BMP_PORT = 11019
"""Where a gateway's FRR tells the service beside it what it learns (RFC 7854)."""

_FRR_CONF = "/etc/frr/frr.conf"


def plan_gateway(lab: Lab, gateway: Gateway, index: int) -> Planned:
    """An instance of a gateway: FRR between its NIC and its lines, and the service that the controller hears it by."""
    azure = lab.azure.gateway[gateway.name]
    node = InstanceId(gateway.name, index).node
    nic = lab.azure.nic[node]
    wires = [w for w in line_wires(lab) if w.node == node]
    tunnels = [t for t in gateway.tunnels if t.instance == index]
    server = server_in(lab.azure, azure.virtual_network)
    mine = originated_in(lab.azure, azure.virtual_network)
    conf, conf_bind = node_file(
        node,
        "frr.conf",
        _FRR_CONF,
        "frr-gateway.conf.j2",
        hostname=node,
        asn=azure.asn,
        address=nic.address,
        originated=(*mine.own, *mine.spokes),
        adjacent=tuple(dict.fromkeys(local_and_adjacent_ranges(lab.azure, azure.virtual_network))),
        others_edges=_others_edges(lab, gateway),
        subnet_gateway=gateway_address(subnet_of(lab.azure, nic)),
        route_servers=[(InstanceId(server.name, i).node, server.instances[i]) for i in INSTANCES] if server else [],
        sessions=session_server(lab.azure, azure) is not None,
        neighbours=[*_circuits(wires), *_sites(lab, tunnels)],
        statics=[
            (prefix, each.far)
            for each in tunnels
            if not each.bgp
            for prefix in lab.azure.local_network_gateway[each.site].address_space
        ],
        is_vpn=azure.kind is PeerKind.VPN_GATEWAY,
        microsoft_asn=MICROSOFT_ASN,
        route_server_asn=ROUTE_SERVER_ASN,
        relayed=":".join(map(str, RELAYED)),
        most_from_site=VPN_GATEWAY_ROUTES,
        timers=gateway.timers,
        bmp_port=BMP_PORT,
    )
    hidden, hidden_bind, load = nftables(node, "nftables-gateway.conf.j2", nic=NIC)
    keep, channel = platform_channel(node)
    commands = [load, *interface_up(NIC, nic_interface(lab.azure, nic))]
    for wire in wires:
        commands += point_to_point(wire.gateway_interface, nic.address, wire.line.edge)
    commands += internet_commands(lab, node)
    for each in tunnels:
        commands += tunnel_commands(lab, node, each)
    router = frr_node(lab, node, Role.GATEWAY, [channel, conf_bind, hidden_bind], commands)
    services = (*FRR_SERVICES, SERVICE)
    env = {**router.env, "LABKIT_BGPD_OPTIONS": "-M bmp", "LABKIT_BMP_PORT": str(BMP_PORT)}
    return Planned(
        replace(router, services=services, env=env, healthcheck=ready(services)),
        (keep, conf, hidden),
    )


def plan_circuit(lab: Lab, circuit: Circuit) -> Planned:
    """A circuit's edge router (MSEE): FRR, ASN 12076, between gateways' lines and the customer's site."""
    wires = [w for w in line_wires(lab) if w.line.circuit == circuit.name]
    customers = [w for w in wan_wires(lab) if w.link.router == circuit.name]
    gateways = tuple(dict.fromkeys(w.gateway.name for w in wires))
    conf, bind = node_file(
        circuit.name,
        "frr.conf",
        _FRR_CONF,
        "frr-circuit.conf.j2",
        hostname=circuit.name,
        asn=MICROSOFT_ASN,
        router_id=router_id(lab, circuit.name),
        gateways=[
            {
                "name": name,
                "number": number,
                "asn": lab.azure.gateway[name].asn,
                "instances": [(w.node, _instance_address(lab, w)) for w in wires if w.gateway.name == name],
                "timers": lab.gateway[name].timers,
            }
            for number, name in enumerate(gateways, 1)
        ],
        customers=[
            {
                "name": w.link.site,
                "address": w.link.site_address.ip,
                "asn": lab.site[w.link.site].asn,
                "private": is_private(lab.site[w.link.site].asn),
            }
            for w in customers
        ],
        most_from_gateway=GATEWAY_TO_CIRCUIT_ROUTES,
        most_from_customer=PREMIUM_CUSTOMER_TO_CIRCUIT_ROUTES if circuit.premium else CUSTOMER_TO_CIRCUIT_ROUTES,
    )
    commands: list[str] = []
    for customer in customers:
        commands += interface_up(customer.router_interface, customer.link.router_address)
    for wire in wires:
        commands += point_to_point(wire.circuit_interface, wire.line.edge, _instance_address(lab, wire))
    return Planned(frr_node(lab, circuit.name, Role.CIRCUIT, [bind], commands), (conf,))


def _others_edges(lab: Lab, gateway: Gateway) -> tuple[IPv4Address, ...]:
    """The far ends of the lines of the gateways beside this one: next hops that it hears of from the route server."""
    network = lab.azure.gateway[gateway.name].virtual_network
    beside = (g for g in lab.gateways if g != gateway and lab.azure.gateway[g.name].virtual_network == network)
    return tuple(line.edge for each in beside for line in each.lines)


def _circuits(wires: Iterable[LineWire]) -> Iterator[dict[str, object]]:
    for wire in wires:
        yield {"name": wire.line.circuit, "address": wire.line.edge, "asn": MICROSOFT_ASN, "circuit": True}


def _sites(lab: Lab, tunnels: Iterable[Tunnel]) -> Iterator[dict[str, object]]:
    for each in tunnels:
        if each.bgp:
            yield {"name": each.site, "address": each.far, "asn": lab.site[each.site].asn, "circuit": False}


def _instance_address(lab: Lab, wire: LineWire) -> IPv4Address:
    return lab.azure.gateway[wire.gateway.name].instances[wire.line.instance]
