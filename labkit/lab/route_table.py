"""A next hop in the words of a lab file, for those who change a route table while the lab runs."""

from __future__ import annotations

from ipaddress import IPv4Network

from labkit.azure.model import Azure, NextHopType, UserRoute
from labkit.errors import InvalidInput
from labkit.lab.kinds.route_table import NEXT_HOPS, address_of, next_hop_type, no_next_hop
from labkit.names import meant


def user_route(prefix: str, hop: str, azure: Azure) -> UserRoute:
    """The user-defined route for `prefix` that leads to `hop`: a next hop type, an appliance's name or an address.

    Raises:
        InvalidInput: one of them is not valid.
    """
    network = address_prefix(prefix)
    kind = next_hop_type(hop)
    if kind is not None:
        return UserRoute(network, kind)
    known = meant(hop, (*(nic.machine for nic in azure.nics), *azure.nic, *azure.load_balancer)) or hop
    named = azure.nic.get(known) or next(iter(azure.nics_of(known)), None) or azure.load_balancer.get(known)
    address = named.address if named is not None else address_of(hop)
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
