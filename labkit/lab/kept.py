"""Addresses that an edited lab file leaves open, and that a running lab has given out already. Pure.

labkit gives addresses out in the order of the file: whatever stays in the lab would get others if something before it
came or went. So the file is given those that the lab has, as far as there are keys for them.
"""

from __future__ import annotations

from collections.abc import Iterator

from labkit.azure.model import Gateway
from labkit.lab.file.insertion import with_values
from labkit.lab.file.yaml_source import Data, Path
from labkit.lab.load import Loaded, read_text
from labkit.lab.model import Lab
from labkit.lab.plan.addressing import subnet_of


def with_addresses_of(lab: Lab, text: str, name: str, variant: str = "") -> str:
    """The text of an edited lab file in which NICs, gateways and load balancers of a running lab keep their addresses.

    It is the text itself if they do so anyway.

    Raises:
        LabFileError: the text has mistakes; or something new in it is given an address that the lab has for another.
    """
    while True:
        edited = read_text(text, name, variant)
        values: dict[Path, str] = {}
        for path, address in _moved(lab, edited):
            values[path] = address
            if variant:
                values["variants", variant, *path] = address
        kept = with_values(text, values, "subnet")
        if kept == text:
            return text
        text = kept


def _moved(lab: Lab, edited: Loaded) -> Iterator[tuple[Path, str]]:
    """What has another address than in the running lab, if the file leaves it open: the place of the key, its value."""
    for place, address in _others(lab, edited.lab):
        path, entry = place, _entry(edited.source.data, place[:-1])
        several = entry.get("nics") if isinstance(entry, dict) and len(path) == 3 else None
        if isinstance(several, dict) and several:
            first = next(iter(several))
            path, entry = (*place[:-1], "nics", first, place[-1]), several[first]
        if isinstance(entry, str) or (isinstance(entry, dict) and not entry.keys() & {"addresses", path[-1]}):
            yield path, address


def _entry(data: Data, path: Path) -> Data:
    for step in path:
        data = data.get(str(step)) if isinstance(data, dict) else None
    return data


def _others(lab: Lab, edited: Lab) -> Iterator[tuple[Path, str]]:
    for nic in edited.azure.nics:
        before = lab.azure.nic.get(nic.name)
        section = "nvas" if nic.machine in edited.nva else "virtual_machines"
        if before is not None and before.address != nic.address and before.address in subnet_of(edited.azure, nic):
            machine, _, own = nic.name.partition("/")
            yield (section, machine, *(("nics", own) if own else ()), "address"), str(before.address)
    for balancer in edited.azure.load_balancers:
        known = lab.azure.load_balancer.get(balancer.name)
        place = (balancer.virtual_network, balancer.subnet)
        if known is not None and known.address != balancer.address and place == (known.virtual_network, known.subnet):
            yield ("load_balancers", balancer.name, "address"), str(known.address)
    for gateway in edited.azure.gateways:
        former = lab.azure.gateway.get(gateway.name)
        if former is not None and former.instances != gateway.instances and _alike(former, gateway):
            yield ("gateways", gateway.name, "instances"), f"[{', '.join(map(str, former.instances))}]"


def _alike(one: Gateway, other: Gateway) -> bool:
    return (one.virtual_network, len(one.instances)) == (other.virtual_network, len(other.instances))
