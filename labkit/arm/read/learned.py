"""Learned routes of route servers as what NVAs advertise, and as proofs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from labkit.arm.captures import Learned, advertised
from labkit.arm.read.reading import Reading
from labkit.arm.read.virtual_hub import Peer
from labkit.azure.model import ROUTE_SERVER_ASN
from labkit.lab.file.yaml_source import Data

_AZURE = (ROUTE_SERVER_ASN, 12076)
SHORTEST_LAN = 29
"""The longest prefix that a site's LAN may have."""

SUPPLIED_LAN = "192.0.2.0/24"


def advertise(
    reading: Reading, nvas: dict[str, Data], sites: dict[str, Data], peers: list[Peer], routes: Iterable[Learned]
) -> None:
    """Have NVAs that are placeholders advertise what was learned of them, with sites where other ASNs are behind."""
    found = [*routes]
    asns = {peer.asn for peer in peers}
    for name, entry in nvas.items():
        mine = {peer.address for peer in peers if _is_of(peer, name, entry)}
        learned = [route for route in found if route.peer in mine]
        if not learned or name in reading.section("nvas") or not isinstance(entry, dict):
            continue
        asn = int(str(entry["asn"]))
        result = advertised(learned, asn, (*_AZURE, *(asns - {asn})))
        if result.own:
            entry["advertises"] = [str(prefix) for prefix in result.own]
        links: list[Data] = []
        for number, prefixes in result.of_sites.items():
            site = f"as{number}"
            _site(sites, site, number, [str(p) for p in prefixes if 0 < p.prefixlen <= SHORTEST_LAN])
            longer = [str(p) for p in prefixes if not 0 < p.prefixlen <= SHORTEST_LAN]
            site_entry = sites[site]
            if longer and isinstance(site_entry, dict):
                site_entry["advertises"] = [*longer]
            reading.remarks["sites", site] = f"What {', '.join(_files(learned))} has with this ASN behind an NVA."
            links.append(site)
        if links:
            entry["connects_to"] = links
        if result.prepends:
            entry["exports"] = [
                {"prefix": str(prefix), "set": {"prepend": str(times)}} for prefix, times in result.prepends.items()
            ]
        others = f" Prefixes with longer AS paths are not: {len(result.other)}." if result.other else ""
        reading.remarks["nvas", name] = f"It advertises what {', '.join(_files(learned))} has.{others}"


def proofs(peers: list[Peer], nvas: dict[str, Data], routes: Iterable[Learned]) -> list[Data]:
    """A proof for each table: the lab learns the same, row by row."""
    return [*_proofs(peers, nvas, [*routes])]


def _proofs(peers: list[Peer], nvas: dict[str, Data], routes: list[Learned]) -> Iterator[Data]:
    for peer in peers:
        name = next((name for name, entry in nvas.items() if _is_of(peer, name, entry)), None)
        rows = [route for route in routes if route.peer == peer.address and route.instance in peer.instances]
        if name is not None and rows:
            text = "".join(f"{'  '.join(row.cells)}\n" for row in rows)
            table = f"learned-routes {peer.server} {name}"
            yield {"capture": {"table": table, "source": ", ".join(_files(rows)), "rows": text}}


def _files(routes: Iterable[Learned]) -> list[str]:
    return [*dict.fromkeys(route.file.rpartition("/")[2] for route in routes)]


def _is_of(peer: Peer, name: str, entry: Data) -> bool:
    return isinstance(entry, dict) and (entry.get("address") == str(peer.address) or _has(entry, peer, name))


def _has(entry: dict[str, Data], peer: Peer, name: str) -> bool:
    """Whether a NIC of several, or an ipConfiguration of several, has a peer's address."""
    nics = entry.get("nics")
    places = [entry, *(nics.values() if isinstance(nics, dict) else ())]
    known = [p for p in places if isinstance(p, dict)]
    listed = [a for p in known for a in [p.get("address"), *_list(p.get("addresses"))]]
    return str(peer.address) in listed or (peer.name == name and not listed)


def _list(value: Data) -> list[Data]:
    return value if isinstance(value, list) else []


def _site(sites: dict[str, Data], name: str, asn: int, prefixes: list[str]) -> None:
    known = sites.get(name)
    before = _list(known.get("prefixes")) if isinstance(known, dict) else []
    merged = list(dict.fromkeys([*map(str, before), *prefixes]))
    sites[name] = {"asn": str(asn), "prefixes": [*(merged or [SUPPLIED_LAN])]}
