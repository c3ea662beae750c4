"""The static routes of an NVA in the lab file: a prefix, and where it leads. It is no kind by itself."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network

from labkit.lab.file.draft import Draft
from labkit.lab.file.yaml_source import Path
from labkit.lab.kinds.kind import Checking
from labkit.lab.kinds.machine import FileNic
from labkit.lab.kinds.next_hop import address_of
from labkit.lab.kinds.nouns import NVA, NVA_NIC, SITE, SITE_ROUTER
from labkit.lab.kinds.virtual_network import find_subnet

_WHERE = "Name a NIC of the NVA, a site or an NVA that it has a link or an overlay with, or an address next to it."


def refer_static_routes(
    checking: Checking,
    place: Path,
    routes: Mapping[IPv4Network, str],
    nics: Mapping[str, FileNic],
    links: Container[str],
) -> None:
    """Notes next hops of static routes, at `place`, that nothing is called, or no NIC, site or NVA.

    `nics` are the NVA's own by the names that they have here, `links` the far ends of its links and overlays.
    """
    draft, nva = checking.draft, str(place[1])
    # Those with mistakes of their own are there all the same.
    mine = {*nics, *draft.names("nvas", nva, "nics")}
    for prefix, hop in routes.items():
        path: Path = (*place, str(prefix))
        if hop in mine:
            if hop not in nics:
                draft.spoil(path)
        elif address_of(hop) is None:
            # What nothing else is called is meant as one of the NVA's own NICs.
            known = hop in checking.names.nouns or hop in links
            name = hop if known or "/" in hop else f"{nva}/{hop}"
            about = draft.subject(path)[0]
            checking.names.refer(draft, path, about, name, NVA_NIC, SITE, NVA, SITE_ROUTER, called="next hop")


def check_static_routes(
    draft: Draft,
    place: Path,
    routes: Mapping[IPv4Network, str],
    nics: Mapping[str, FileNic],
    links: Mapping[str, IPv4Network | None],
) -> None:
    """Notes next hops of static routes, at `place`, that are not next to the NVA.

    `links` are the ranges of its links and overlays by the far end, as far as the file gives them.
    """
    # A mistake in what is next to the NVA is one, whatever leads there.
    if any(draft.broken((*place[:-1], key)) for key in ("connects_to", "overlays", "nics")):
        return
    subnets = [find_subnet(draft, nic.keys.subnet) for nic in nics.values()]
    own = {given for nic in nics.values() for given in (nic.keys.address, *nic.keys.addresses)}
    near = [*(found[2].prefix for found in subnets if found is not None), *filter(None, links.values())]
    for prefix, hop in routes.items():
        path: Path = (*place, str(prefix))
        about, address = draft.subject(path)[0], address_of(hop)
        if draft.broken(path) or hop in nics or hop in links:
            continue
        if address is None:
            draft.error(path, f"{about}: {hop} is not next to it.", _WHERE)
        elif address in own:
            draft.error(path, f"{about}: {hop} is the NVA's own address.", _WHERE)
        elif None not in subnets and not any(address in each for each in near):
            draft.error(path, f"{about}: {hop} is in no subnet of its NICs, and on none of its links.", _WHERE)


def static_routes(
    routes: Mapping[IPv4Network, str], nics: Mapping[str, FileNic]
) -> Iterator[tuple[IPv4Network, str | IPv4Address]]:
    """The static routes of an NVA: where each leads, by the name of a NIC or of a link's far end, or by an address."""
    for prefix, hop in routes.items():
        yield prefix, address_of(hop) or (nics[hop].name if hop in nics else hop)
