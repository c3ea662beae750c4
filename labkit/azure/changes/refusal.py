"""Azure's refusals of changes, by the rules that also judge a lab file."""

from __future__ import annotations

from collections.abc import Iterator

from labkit.azure.model import Azure
from labkit.azure.model.problem import Code, Problem
from labkit.azure.model.ranges import Ranges
from labkit.azure.rules.validation import problems, warnings
from labkit.errors import InvalidInput

_TRANSIENT = frozenset({Code.PEERING_ONE_SIDED})
"""What is a mistake in a lab file and a step on the way in a running lab: Azure calls such a peering Initiated."""

_OF_PEERS = frozenset({Code.PEER_UNREACHABLE, Code.PEER_NO_REMOTE_GATEWAYS})
"""What is required of a peer when it is created: a later change may leave it unreachable."""

_REMEDIES = {
    Code.OVERLAP_WITHIN: "Use ranges that don't overlap.",
    Code.OVERLAP_PEERED: "Peered virtual networks need ranges of their own: take another, or delete the peering first.",
    Code.PEERING_DISCONNECTED: (
        "Get it back to Initiated first, by any update: labkit vnet peering update {0} {1} --allow-forwarded-traffic on"
    ),
    Code.PEERING_NOT_IN_SYNC: "Sync the peering: labkit vnet peering sync {0} {1}",
    Code.SUBNET_OUTSIDE: "Keep the ranges that have subnets.",
    Code.URG_TWICE: "Switch use-remote-gateways off on its other peering first.",
    Code.URG_OWN_SERVER: "A virtual network with a route server of its own can't use another's: delete it first.",
    Code.URG_OWN_GATEWAY: "A virtual network with a gateway of its own can't use another's.",
    Code.URG_NO_SERVER: "Only a hub with a route server or a gateway can be used.",
    Code.URG_NO_TRANSIT: (
        "While {0} uses the gateways of {1}, the peering {1} to {0} must allow gateway transit: allow it, or switch "
        "use-remote-gateways off at {0} first."
    ),
    Code.SERVER_SUBNET: "A route server needs its RouteServerSubnet, and that one without a route table.",
    Code.PEER_ASN: "Use another private ASN, such as 65001.",
    Code.PEER_AZURES_OWN: "Give the address of an appliance.",
    Code.PEER_NOBODYS: "Its sessions stay down: give the address of an appliance's NIC.",
    Code.NEXT_HOP_NOBODYS: "Packets by it are lost: give the name or the address of an appliance.",
    Code.ROUTE_TO_NO_GATEWAY: "Packets by it are dropped: it takes a VPN gateway, and no ExpressRoute gateway.",
    Code.NIC_NOT_FORWARDING: "Switch it on: labkit nic update {0} --ip-forwarding on",
    Code.PEERS_TOO_MANY: "Delete another one first.",
    Code.PEER_NO_REMOTE_GATEWAYS: "Let its virtual network use remote gateways first.",
    Code.PEER_DUPLICATE: "Give it a name and an address of its own.",
    Code.PEER_UNREACHABLE: "Peer the two virtual networks first.",
    Code.FIREWALL_RULE: "Give ICMP a rule of its own.",
    Code.FIREWALL_PORT: "Write 22, or a range such as 8000-8080, between 1 and 65535.",
    Code.GATEWAY_STANDBY: "The gateway must be active-active: labkit gateway create {0} --active-active on",
    Code.AUTHORIZATION_MISSING: "The circuit's owner creates it: labkit circuit auth create {0} {1}",
    Code.AUTHORIZATION_IN_USE: "The circuit's owner creates another one: labkit circuit auth create {0} NAME",
    Code.GATEWAY_PROPAGATION: "Keep propagation on there, or give GatewaySubnet a route table of its own.",
    Code.GATEWAY_CUT_OFF: "Give the route table a route for the RouteServerSubnet to VnetLocal.",
    Code.GATEWAY_INSTANCES_CUT: "Their sessions end: give the route table a route for GatewaySubnet to VnetLocal.",
    Code.GATEWAY_NO_TRANSIT: "To have transit, remove its asn from the lab file.",
    Code.GATEWAY_DEFAULT_ROUTE: "Give GatewaySubnet a route table of its own, without a route for 0.0.0.0/0.",
}


def refusals(before: Azure, after: Azure) -> tuple[Problem, ...]:
    """Why Azure would refuse to make `after` of `before`: the problems of `after` that `before` does not have."""
    known = set(problems(before))
    found = (*problems(after), *_homeless_subnets(after))
    passing = _TRANSIENT | (_OF_PEERS if before.route_servers == after.route_servers else frozenset())
    return tuple(problem for problem in found if problem not in known and problem.code not in passing)


def refuse(before: Azure, after: Azure) -> None:
    """Check that Azure would let an operator make `after` of `before`.

    Raises:
        InvalidInput: it would not.
    """
    found = refusals(before, after)
    if found:
        reasons = "; ".join(dict.fromkeys(problem.text for problem in found))
        raise InvalidInput(f"Azure would refuse that: {reasons}.", remedy(found[0]))


def cautions(before: Azure, after: Azure) -> tuple[Problem, ...]:
    """What Azure lets an operator make of `before` although it does not work: the warnings that it does not have."""
    known = set(warnings(before))
    return tuple(problem for problem in warnings(after) if problem not in known)


def remedy(problem: Problem) -> str:
    """What an operator can do about a problem; empty if there is nothing to add."""
    return _REMEDIES.get(problem.code, "").format(*problem.subjects)


def _homeless_subnets(azure: Azure) -> Iterator[Problem]:
    """Subnets outside their virtual network's address space: Azure keeps a range that has subnets."""
    for network in azure.virtual_networks:
        space = Ranges(network.address_space)
        for subnet in network.subnets:
            if not space.covers(subnet.prefix):
                text = f"subnet {subnet.name} ({subnet.prefix}) of {network.name} would lie outside its address space"
                yield Problem(Code.SUBNET_OUTSIDE, text, (network.name, subnet.name))
