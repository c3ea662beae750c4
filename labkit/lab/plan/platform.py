"""The nodes that are Azure itself: controller, fabrics, route server instances; and the virtual machines."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network

from labkit.azure.model import ROUTE_SERVER_ASN, Azure, InstanceId, Nic, RouteServer, VirtualNetwork
from labkit.azure.rules.addressing import gateway_address
from labkit.azure.rules.gateways import gateway_peers
from labkit.lab.model import Lab, VirtualMachine
from labkit.lab.plan.common import (
    NET_ADMIN,
    Planned,
    environment,
    interface_up,
    nftables,
    node_file,
    platform_channel,
    ready,
    sysctls,
)
from labkit.lab.plan.model import Bind, File, Node, Role
from labkit.lab.plan.nodes import CONTROLLER, NIC
from labkit.lab.plan.wires import instance_nics
from labkit.paths import CONTROLLERS_LAB_FILE

LAB_FILE = "lab.yml"
EXABGP_HOLD_TIME = 180
"""Azure's own [bgp-timers]; the lower one of the two sides counts."""


def subnet_of(azure: Azure, nic: Nic) -> IPv4Network:
    """The range of a NIC's subnet."""
    subnets = azure.virtual_network[nic.virtual_network].subnets
    return next(s.prefix for s in subnets if s.name == nic.subnet)


def nic_interface(azure: Azure, nic: Nic) -> IPv4Interface:
    """A NIC's address with its subnet's prefix length."""
    return IPv4Interface((nic.address, subnet_of(azure, nic).prefixlen))


def nics_up(azure: Azure, machine: str) -> tuple[str, ...]:
    """Commands that bring up the NICs of a machine."""
    nics = azure.nics_of(machine)
    return tuple(c for nic in nics for c in interface_up(nic.interface, nic_interface(azure, nic)))


def plan_controller(lab: Lab) -> Planned:
    """The controller: no interface and no privilege, only the folders in which it meets the others."""
    node = Node(
        name=CONTROLLER,
        role=Role.CONTROLLER,
        services=("controller",),
        env=environment(lab.name, CONTROLLER),
        binds=(
            Bind(LAB_FILE, CONTROLLERS_LAB_FILE),
            Bind("run", "/run/lab", read_only=False),
            Bind("controller", "/var/lib/labkit", read_only=False),
        ),
        sysctls=sysctls(forward=False),
        healthcheck=ready(("controller",)),
    )
    return Planned(node, (File("controller/.keep", ""),))


def plan_fabric(lab: Lab, network: VirtualNetwork) -> Planned:
    """A virtual network's switch.

    Its bridge comes later and inherits `default`: it answers ARP for every address, which the kernel does only for
    an interface that forwards.
    """
    keep, channel = platform_channel(network.name)
    node = Node(
        name=network.name,
        role=Role.FABRIC,
        services=("fabric",),
        env=environment(lab.name, network.name),
        binds=(channel,),
        sysctls=sysctls(forward=True) | {"net.ipv4.conf.default.proxy_arp_pvlan": "1"},
        cap_add=NET_ADMIN,
        healthcheck=ready(("fabric",)),
    )
    return Planned(node, (keep,))


def plan_instance(lab: Lab, server: RouteServer, index: int) -> Planned:
    """One instance of a route server: ExaBGP, and a count of the packets that were never meant for it."""
    nic = next(n for n in instance_nics(lab) if n.name == InstanceId(server.name, index).node)
    subnet = subnet_of(lab.azure, nic)
    # Gateways may always come; whether they do, branch-to-branch decides, and it may change while the lab runs.
    converge = (*server.peers, *gateway_peers(lab.azure, replace(server, branch_to_branch=True)))
    peers = [{"name": peer.name, "address": peer.address, "asn": peer.asn} for peer in converge]
    keep, channel = platform_channel(nic.name)
    conf, conf_bind = node_file(
        nic.name,
        "exabgp.conf",
        "/etc/exabgp/exabgp.conf",
        "exabgp.conf.j2",
        node=nic.name,
        address=nic.address,
        asn=ROUTE_SERVER_ASN,
        hold_time=EXABGP_HOLD_TIME,
        peers=peers,
    )
    settings, settings_bind = node_file(
        nic.name, "exabgp.env", "/etc/exabgp/exabgp.env", "exabgp.env.j2", address=nic.address
    )
    counters, counters_bind, load = nftables(
        nic.name,
        "nftables-instance.conf.j2",
        interface=NIC,
        address=nic.address,
        broadcast=subnet.broadcast_address,
    )
    node = Node(
        name=nic.name,
        role=Role.ROUTE_SERVER,
        services=("exabgp",),
        env=environment(
            lab.name,
            nic.name,
            LABKIT_ROUTE_SERVER=server.name,
            LABKIT_INSTANCE=str(index),
            EXABGP_ENVFILE="/etc/exabgp/exabgp.env",
        ),
        binds=(channel, conf_bind, settings_bind, counters_bind),
        exec=(
            load,
            *interface_up(NIC, nic_interface(lab.azure, nic)),
            f"ip route replace default via {gateway_address(subnet)} dev {NIC}",
        ),
        # ExaBGP starts with the node, before any command gives the interface its address.
        sysctls=sysctls(forward=False) | {"net.ipv4.ip_nonlocal_bind": "1"},
        cap_add=NET_ADMIN,
        healthcheck=ready(("exabgp",)),
    )
    return Planned(node, (keep, conf, settings, counters))


def plan_virtual_machine(lab: Lab, machine: VirtualMachine) -> Planned:
    """A virtual machine: its address, and no route but its agent's, so that its kernel shows what Azure programs."""
    keep, channel = platform_channel(machine.name)
    node = Node(
        name=machine.name,
        role=Role.VM,
        services=("agent",),
        env=environment(lab.name, machine.name, LABKIT_INTERFACE=NIC),
        binds=(channel,),
        exec=nics_up(lab.azure, machine.name),
        sysctls=sysctls(forward=False),
        cap_add=NET_ADMIN,
        healthcheck=ready(("agent",)),
    )
    return Planned(node, (keep,))
