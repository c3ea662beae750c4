"""A next hop in the words of a lab file, for those who change a route table while the lab runs."""

from __future__ import annotations

from ipaddress import IPv4Network

from labkit.azure.model import Azure, NextHopType, UserRoute
from labkit.errors import InvalidInput
from labkit.lab.kinds.next_hop import next_hop_address, next_hops
from labkit.lab.kinds.route_table import NEXT_HOPS, next_hop_type, no_next_hop


def user_route(prefix: str, hop: str, azure: Azure) -> UserRoute:
    """The user-defined route for `prefix` that leads to `hop`: a next hop type, an appliance's name or an address.

    Raises:
        InvalidInput: one of them is not valid.
    """
    network = address_prefix(prefix)
    kind = next_hop_type(hop)
    if kind is not None:
        return UserRoute(network, kind)
    address = next_hop_address(hop, next_hops(azure))
    if address is None:
        text, remedy = no_next_hop(hop) or (f"{hop} is not a next hop", NEXT_HOPS)
        raise InvalidInput(f"route {prefix}: {text}.", remedy)
    return UserRoute(network, NextHopType.VIRTUAL_APPLIANCE, address)


def address_prefix(text: str) -> IPv4Network:
    """The address prefix that a text is.

    Raises:
        InvalidInput: it is not one.
    """
    try:
        return IPv4Network(text)
    except ValueError:
        pass
    try:
        remedy = f"The prefix is {IPv4Network(text, strict=False)}."
    except ValueError:
        remedy = "Write one such as 10.1.0.0/16."
    raise InvalidInput(f"{text} is not an address prefix.", remedy)
