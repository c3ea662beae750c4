"""Azure's refusals of a change of a running lab, in words."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network

from labkit.azure.changes.edit import refusals
from labkit.azure.model import Azure
from labkit.azure.model.problem import Code, Problem
from labkit.azure.rules.addressing import LARGEST_SPACE, SUBNET_LONGEST, forbidden_address_space, wrong_size
from labkit.errors import InvalidInput

_REMEDIES = {
    Code.OVERLAP_WITHIN: "Use ranges that don't overlap.",
    Code.OVERLAP_PEERED: "Peered virtual networks need ranges of their own: take another, or delete the peering first.",
    Code.PEERING_DISCONNECTED: (
        "Get it back to Initiated first, by any update: labkit vnet peering update {0} {1} --allow-forwarded-traffic on"
    ),
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
    Code.PEERS_TOO_MANY: "Delete another one first.",
    Code.PEER_NO_REMOTE_GATEWAYS: "Let its virtual network use remote gateways first.",
    Code.PEER_DUPLICATE: "Give it a name and an address of its own.",
    Code.PEER_UNREACHABLE: "Peer the two virtual networks first.",
    Code.GATEWAY_PROPAGATION: "Keep propagation on there, or give GatewaySubnet a route table of its own.",
    Code.GATEWAY_DEFAULT_ROUTE: "Give GatewaySubnet a route table of its own, without a route for 0.0.0.0/0.",
}


def refuse(before: Azure, after: Azure) -> None:
    """See that Azure would let somebody make `after` of `before`.

    Raises:
        InvalidInput: it would not.
    """
    found = refusals(before, after)
    if found:
        reasons = "; ".join(dict.fromkeys(problem.text for problem in found))
        raise InvalidInput(f"Azure would refuse that: {reasons}.", _remedy(found[0]))


def refuse_ranges(ranges: Iterable[IPv4Network]) -> None:
    """See that a virtual network can have these ranges at all.

    Raises:
        InvalidInput: one is Azure's own, or too large or too small.
    """
    for each in ranges:
        forbidden = forbidden_address_space(each)
        if forbidden is not None:
            raise InvalidInput(f"{each} overlaps {forbidden}, which Azure refuses.", "Use a private range.")
        size = wrong_size(each)
        if size is not None:
            raise InvalidInput(f"{each} is too {size}.", f"Azure accepts /{LARGEST_SPACE} to /{SUBNET_LONGEST}.")


def _remedy(problem: Problem) -> str:
    return _REMEDIES.get(problem.code, "").format(*problem.subjects)
