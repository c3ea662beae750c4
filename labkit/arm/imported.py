"""Files with resources as a lab file, with comments on where each thing came from and what is not in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath

from labkit.arm.intake import Intake, take_in
from labkit.arm.read.document import document_of
from labkit.arm.read.reading import LeftOut
from labkit.arm.read.text import text_of

_SECTIONS = {
    "virtual_networks": "Microsoft.Network/virtualNetworks",
    "peerings": "Microsoft.Network/virtualNetworks/virtualNetworkPeerings",
    "route_tables": "Microsoft.Network/routeTables",
    "route_servers": "Microsoft.Network/virtualHubs",
    "gateways": "Microsoft.Network/virtualNetworkGateways",
    "circuits": "Microsoft.Network/expressRouteCircuits",
    "nvas": "Microsoft.Network/networkInterfaces",
    "load_balancers": "Microsoft.Network/loadBalancers",
    "firewalls": "Microsoft.Network/azureFirewalls",
    "virtual_machines": "Microsoft.Network/networkInterfaces",
}
"""The type of resources that each section is of."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A lab file's text, how many resources it is of, what was supplied or guessed, and what is not in it."""

    text: str
    resources: int
    remarks: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


def imported(files: Iterable[tuple[str, str]], name: str, source: str) -> Imported:
    """The lab file of some files, each given by name and text; `source` is what they are, for its first line.

    Raises:
        InvalidInput: a file is of no known form, or a value in it is wrong; with the file and the place.
    """
    found = take_in(files)
    document = document_of(found.bag, found.beyond, name, found.learned)
    left_out = (*found.left_out, *document.left_out)
    header = [f"Imported by labkit from {source}.", *_not_in_it(left_out)]
    text = text_of(document, header, dict(_origins(found)))
    remarks = tuple(f"{section} {entry}: {remark}" for (section, entry), remark in document.remarks.items())
    return Imported(text, len(found.bag), remarks, left_out)


def _not_in_it(left_out: Iterable[LeftOut]) -> Iterator[str]:
    lines = [f"  {each.what.rpartition('/providers/')[2]}: {each.reason}. {each.effect}" for each in left_out]
    if lines:
        yield "Not in it:"
        yield from lines


def _origins(found: Intake) -> Iterator[tuple[str, str]]:
    """The names of the files that each section's resources come from."""
    for section, type_ in _SECTIONS.items():
        names = dict.fromkeys(PurePath(found.files[resource.id]).name for resource in found.bag.of_type(type_))
        if names:
            few = [*names][:3]
            yield section, f"From {', '.join(few)}{' and others' if len(names) > len(few) else ''}."
