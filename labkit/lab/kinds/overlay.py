"""VXLAN tunnels between NVAs: what their `overlays` are."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import replace

from labkit.azure.model import Azure, Nic
from labkit.lab import model
from labkit.lab.file.draft import Draft
from labkit.lab.file.schema_types import OverlayOptions
from labkit.lab.file.yaml_source import Path
from labkit.lab.kinds.addresses import Addresses, Assignment, Slot
from labkit.lab.kinds.internet import INTERNET
from labkit.lab.kinds.kind import Checking, Joined, Kind, Range
from labkit.lab.kinds.machine import machine_of, own_nics
from labkit.lab.kinds.nouns import NVA, NVA_NIC
from labkit.lab.kinds.nva import NVAS, Nva
from labkit.lab.kinds.reachability import obstacle
from labkit.lab.kinds.wan_link import Ends, assign_links, interfaces, link_ranges
from labkit.lab.model import Lab
from labkit.lab.plan.nodes import NIC
from labkit.names import in_any_case

_OVERLAYS: Slot[dict[tuple[str, str], Ends]] = Slot(dict)
"""The ends of each overlay: that of the NVA which names it, then the other's."""


class OverlayKind(Kind):
    """Overlays; they have no section of their own, and no links: their packets go from NIC to NIC."""

    def references(self, checking: Checking) -> None:
        """See `Kind`."""
        for name, nva in checking.draft.file[NVAS].items():
            checking.refer_links(("nvas", name, "overlays"), nva.overlays, NVA, NVA_NIC)

    def joins(self, draft: Draft) -> Iterator[Joined]:
        """See `Kind`."""
        for name, nva in draft.file[NVAS].items():
            yield from (Joined(name, machine_of(other)) for link in nva.overlays for other in link)

    def ranges(self, draft: Draft) -> Iterator[Range]:
        """See `Kind`."""
        for name, nva in draft.file[NVAS].items():
            yield from link_ranges(draft, ("nvas", name, "overlays"), nva.overlays, yields=2)

    def assign(self, assignment: Assignment) -> None:
        """See `Kind`."""
        for name, nva in assignment.draft.file[NVAS].items():
            for other, prefix in assign_links(assignment, ("nvas", name, "overlays"), nva.overlays):
                assignment.addresses[_OVERLAYS].setdefault((name, machine_of(other)), interfaces(prefix))

    def check(self, checking: Checking) -> None:
        """See `Kind`."""
        for name, nva in checking.draft.file[NVAS].items():
            _check(checking.draft, name, nva)
            for i, overlay in enumerate(nva.overlays):
                for other, options in overlay.items():
                    path: Path = ("nvas", name, "overlays", i, other)
                    if _check_nics(checking.draft, path, nva, options or OverlayOptions(), checking.names.unknown):
                        _check_way(checking, path, options or OverlayOptions())

    def lab(self, draft: Draft, addresses: Addresses, lab: Lab) -> Lab:
        """See `Kind`."""
        named = [
            (name, other, options or OverlayOptions())
            for name, nva in draft.file[NVAS].items()
            for link in nva.overlays
            for other, options in link.items()
        ]
        overlays = tuple(
            model.Overlay(
                (one, machine_of(other)),
                (_near(lab.azure, one, options).name, lab.azure.find_nic(other).name),
                addresses[_OVERLAYS][one, machine_of(other)],
                vni,
                options.public,
            )
            for vni, (one, other, options) in enumerate(named, 1)
        )
        return replace(lab, overlays=overlays)


def overlay_nic(draft: Draft, azure: Azure, nva: str, far: str) -> Nic | None:
    """The NIC by which an NVA has an overlay with another one; None if there is none between them."""
    for name, other in ((nva, far), (far, nva)):
        for overlay in draft.file[NVAS][name].overlays:
            for end, options in overlay.items():
                if machine_of(end) == other:
                    return _near(azure, nva, options or OverlayOptions()) if name == nva else azure.find_nic(end)
    return None


def _near(azure: Azure, nva: str, options: OverlayOptions) -> Nic:
    """The NIC of the NVA that names an overlay."""
    names = {each: nic for nic in azure.nics_of(nva) for each in (nic.name, nic.name.removeprefix(f"{nva}/"))}
    named = in_any_case(options.nic, names) if options.nic is not None else None
    return names[named] if named is not None else azure.primary_nic(nva)


def _check_nics(draft: Draft, path: Path, nva: Nva, options: OverlayOptions, unknown: Container[str]) -> bool:
    """Whether the NICs of an overlay's ends can have it; if not, that is noted."""
    name, end = str(path[1]), str(path[-1])
    mine, far = own_nics("nvas", name, nva), draft.file[NVAS].get(machine_of(end))
    own = in_any_case(options.nic or name, mine)
    if options.nic is not None and own is None:
        # What others call so is unknown for the same reason.
        if f"{name}/{options.nic}" not in unknown and not draft.broken(("nvas", name, "nics")):
            remedy = draft.suggestion(options.nic, [*nva.nics, *([] if nva.nics else [name])], "NICs of it")
            draft.error((*path, "nic"), f'overlay of NVA {name} to "{end}": it has no NIC "{options.nic}".', remedy)
        return False
    theirs = own_nics("nvas", machine_of(end), far) if far is not None else {}
    ends = [(mine, own or name), (theirs, end)]
    if options.public and any(nics[nic].interface != NIC for nics, nic in ends if nic in nics):
        text = f'overlay of NVA {name} to "{end}": primary NICs alone have public addresses.'
        draft.error(path, text, "Name the primary NICs, or remove public.")
        return False
    return True


def _check_way(checking: Checking, path: Path, options: OverlayOptions) -> None:
    """Notes an overlay whose packets get nowhere."""
    draft, azure, public = checking.draft, checking.azure, options.public
    ends = str(path[1]), machine_of(str(path[-1]))
    if not checking.sound or ends[0] == ends[1]:
        return
    internet = draft.file[INTERNET]
    if public and internet is None:
        if not draft.broken(("internet",)):
            text = f"NVA {ends[0]}: a public overlay needs the Internet, and the lab has none."
            draft.error((*path, "public"), text, "Add internet: {prefix: 198.51.100.0/24}.")
        return
    nics = [_near(azure, ends[0], options), azure.find_nic(str(path[-1]))]
    for near, far in (nics, nics[::-1]):
        target = internet.prefix[1] if public and internet is not None else far.address
        found = obstacle(draft, azure, near, target, None if public else far)
        if found is not None:
            remedy = (
                f"Peer the networks or change the route; or send it over the Internet: {{{ends[1]}: {{public: true}}}}."
            )
            if public:
                remedy = "Give its subnet a route table with 0.0.0.0/0: Internet."
            text = f"NVA {ends[0]}: packets of its overlay don't get to {far.machine}: {found}."
            draft.error(path, text.replace(f"to {ends[0]}:", f"from {ends[1]} to it:"), remedy)
            return


def _check(draft: Draft, name: str, nva: Nva) -> None:
    for i, overlay in enumerate(nva.overlays):
        for end in overlay:
            path: Path = ("nvas", name, "overlays", i, end)
            other = machine_of(end)
            far = draft.file[NVAS].get(other)
            if other == name:
                draft.error(path, f"NVA {name}: an overlay can't lead to the NVA itself.", "Name another NVA.")
            elif far is None or nva.asn is None:
                continue
            elif far.asn is None:
                if not draft.broken(("nvas", other, "asn")):
                    text = f"NVA {name}: the overlay has BGP, and {other} has none."
                    draft.error(path, text, f"Add asn: 65001 to {other}, or remove the overlay.")
            elif other in [machine_of(n) for link in nva.overlays[:i] for n in link] or (
                any(name in map(machine_of, link) for link in far.overlays) and other < name
            ):
                draft.error(path, f"NVAs {name} and {other} have two overlays.", "One side names it: remove the other.")
            elif far.asn == nva.asn:
                text = f"NVAs {name} and {other} both have ASN {nva.asn}."
                remedy = "Their overlay has external BGP. Give one of them another, such as 65002."
                draft.error(path, text, remedy)
