"""What Azure does not know of a lab: what its NVAs run and advertise, sites, links, the Internet, proofs.

It has a lab file's own shape: the file without what its resources have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from labkit.azure.model import Azure
from labkit.lab.file.yaml_source import Data, parse
from labkit.lab.kinds.export_rules import SHORTHANDS

_WITHOUT = frozenset({"virtual_networks", "route_tables", "load_balancers", "variants"})
"""Sections that resources have whole."""

_OF_NICS = frozenset({"subnet", "address", "addresses", "ip_forwarding"})
_KEPT: Mapping[str, frozenset[str]] = {
    "route_servers": frozenset({"own_ranges", "routes_per_peer", "total_prefixes"}),
    "gateways": frozenset({"connects_to", "timers"}),
    "circuits": frozenset({"connects_to", "edges"}),
    "firewalls": frozenset({"instances"}),
}
"""Of these sections' entries, what no resource has."""


def beyond(data: Data) -> dict[str, Data]:
    """What Azure does not know of a lab, of the values of its file without variants."""
    found: dict[str, Data] = {}
    for section, value in _mapping(data).items():
        if section in _WITHOUT:
            continue
        if section == "peerings":
            found[section] = [
                {key: entry[key] for key in ("between", "global") if key in entry}
                for entry in (value if isinstance(value, list) else [])
                if isinstance(entry, dict)
            ]
        elif section == "proofs":
            found[section] = [
                {key: claim for key, claim in proof.items() if key != "not_in"} if isinstance(proof, dict) else proof
                for proof in (value if isinstance(value, list) else [])
            ]
        elif section in _KEPT:
            found[section] = {name: _only(entry, _KEPT[section]) for name, entry in _mapping(value).items()}
        elif section in {"nvas", "virtual_machines"}:
            found[section] = {name: _machine(entry) for name, entry in _mapping(value).items()}
        else:
            found[section] = value
    return found


def with_appliances(known: Mapping[str, Data], built: Azure, azure: Azure) -> dict[str, Data]:
    """The same after the operators of NVAs have changed what these advertise, or their export policy."""
    nvas = dict(_mapping(known.get("nvas")))
    for name, appliance in azure.appliance.items():
        before = built.appliance.get(name)
        if name in nvas and before is not None and before != appliance:
            entry = {k: v for k, v in _mapping(nvas[name]).items() if k not in {"advertises", "exports", *SHORTHANDS}}
            if appliance.advertises:
                entry["advertises"] = [str(prefix) for prefix in appliance.advertises]
            if appliance.exports:
                entry["exports"] = [parse(str(rule)).data for rule in appliance.exports]
            nvas[name] = entry
    return {**known, **({"nvas": nvas} if nvas else {})}


def _machine(entry: Data) -> dict[str, Data]:
    kept = {key: value for key, value in _mapping(entry).items() if key not in _OF_NICS}
    if "nics" in kept:
        nics = _mapping(kept["nics"]).items()
        kept["nics"] = {name: {k: v for k, v in _mapping(nic).items() if k not in _OF_NICS} for name, nic in nics}
    return kept


def _only(entry: Data, keys: Iterable[str]) -> dict[str, Data]:
    known = _mapping(entry)
    return {key: known[key] for key in known if key in keys}


def _mapping(value: Data) -> dict[str, Data]:
    return value if isinstance(value, dict) else {}
