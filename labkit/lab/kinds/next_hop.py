"""Next hops by name: what routes of route tables and export rules may name, and the address that it means.

By a name, a NIC's address is meant, of a machine that of its primary NIC, and the frontend of a load balancer or a
firewall. It is no kind by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import AddressValueError, IPv4Address

from labkit.azure.changes.nics import customer_nics
from labkit.azure.model import Azure
from labkit.lab.file.yaml_source import Path
from labkit.lab.kinds.kind import Checking
from labkit.lab.kinds.nouns import INSTANCE, ROUTE_SERVER, Trait
from labkit.names import meant


def address_of(text: str) -> IPv4Address | None:
    """The address that a text is, if it is one."""
    try:
        return IPv4Address(text)
    except AddressValueError:
        return None


def next_hop_address(text: str, named: Mapping[str, IPv4Address]) -> IPv4Address | None:
    """The address of a next hop, by its name in any case, its handle or as an address; None if it is neither.

    `named` are the addresses of everything that a next hop may name.
    """
    address = address_of(text)
    known = meant(text, named) if address is None else None
    return named[known] if known is not None else address


def next_hops(azure: Azure) -> dict[str, IPv4Address]:
    """The addresses of everything that a next hop may name: machines, their NICs, and the frontends of load balancers.

    A firewall has the frontend of the load balancer of its name.
    """
    nics = customer_nics(azure)
    found = {nic.machine: nic.address for nic in reversed(nics)} | {nic.name: nic.address for nic in nics}
    return found | {each.name: each.address for each in azure.load_balancers}


def refer_next_hop(checking: Checking, path: Path, about: str, hop: str, also: Sequence[str] = ()) -> None:
    """Notes a next hop that is no address, none of the words `also`, and not the name of what may be one."""
    draft, names = checking.draft, checking.names
    if hop in also or address_of(hop) is not None:
        return
    noun = names.nouns.get(hop)
    if noun in {ROUTE_SERVER, INSTANCE}:
        draft.spoil(path)
        text = f"{about}: {hop} is {noun.a}, which never forwards packets."
        draft.error(path, text, "Name the NVA that does.")
    else:
        names.refer(draft, path, about, hop, Trait.NEXT_HOP, called="next hop", also=also)
