"""The nodes of gateways: their instances, and the edge routers of ExpressRoute circuits."""

from __future__ import annotations

from dataclasses import replace

from labkit.azure.model import Circuit, InstanceId
from labkit.daemons.registry import DAEMONS, DEFAULT
from labkit.lab.model import Gateway, Lab
from labkit.lab.plan.common import (
    Planned,
    interface_up,
    nftables,
    platform_channel,
    point_to_point,
    ready,
)
from labkit.lab.plan.model import Role
from labkit.lab.plan.nodes import NIC
from labkit.lab.plan.platform import nic_interface
from labkit.lab.plan.router_node import router_node, speaker_files
from labkit.lab.plan.speakers import BMP_PORT, edge_speaker, gateway_speaker
from labkit.lab.plan.tunnels import internet_commands, tunnel_commands
from labkit.lab.plan.wires import line_wires, wan_wires

SERVICE = "gateway"


def plan_gateway(lab: Lab, gateway: Gateway, index: int) -> Planned:
    """An instance of a gateway: a daemon between its NIC and its lines, and the service that reports of it."""
    node = InstanceId(gateway.name, index).node
    nic = lab.azure.nic[node]
    wires = [w for w in line_wires(lab) if w.node == node]
    tunnels = [t for t in gateway.tunnels if t.instance == index]
    files, binds = speaker_files(gateway.daemon, gateway_speaker(lab, gateway, index))
    hidden, hidden_bind, load = nftables(node, "nftables-gateway.conf.j2", nic=NIC)
    keep, channel = platform_channel(node)
    commands = [load, *interface_up(NIC, nic_interface(lab.azure, nic))]
    for wire in wires:
        commands += point_to_point(wire.gateway_interface, nic.address, wire.line.edge)
    commands += internet_commands(lab, node)
    for each in tunnels:
        commands += tunnel_commands(lab, node, each)
    router = router_node(lab, node, gateway.daemon, Role.GATEWAY, [channel, *binds, hidden_bind], commands)
    services = (*router.services, SERVICE)
    env = {
        **router.env,
        **DAEMONS[gateway.daemon].services.monitored,
        "LABKIT_DAEMON": gateway.daemon,
        "LABKIT_BMP_PORT": str(BMP_PORT),
    }
    return Planned(
        replace(router, services=services, env=env, healthcheck=ready(services)),
        (keep, *files, hidden),
    )


def plan_circuit(lab: Lab, circuit: Circuit) -> Planned:
    """A circuit's edge router (MSEE), ASN 12076, between gateways' lines and the customer's site."""
    wires = [w for w in line_wires(lab) if w.line.circuit == circuit.name]
    customers = [w for w in wan_wires(lab) if w.link.router == circuit.name]
    files, binds = speaker_files(DEFAULT, edge_speaker(lab, circuit))
    commands: list[str] = []
    for customer in customers:
        commands += interface_up(customer.router_interface, customer.link.router_address)
    for wire in wires:
        commands += point_to_point(
            wire.circuit_interface, wire.line.edge, lab.azure.gateway[wire.gateway.name].instances[wire.line.instance]
        )
    return Planned(router_node(lab, circuit.name, DEFAULT, Role.CIRCUIT, binds, commands), tuple(files))
