"""BGP sessions of NVAs with each other, from NIC to NIC: what their `peers_with` is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product

from labkit.azure.model import Azure, Nic
from labkit.lab import model
from labkit.lab.file.draft import Draft
from labkit.lab.file.yaml_source import Path
from labkit.lab.kinds.addresses import Addresses
from labkit.lab.kinds.kind import Checking, Joined, Kind
from labkit.lab.kinds.machine import machine_of
from labkit.lab.kinds.nouns import NVA, NVA_NIC
from labkit.lab.kinds.nva import NVAS, Nva, PeerOptions
from labkit.lab.kinds.reachability import obstacle
from labkit.lab.model import Lab


class NvaPeerKind(Kind):
    """Sessions of NVAs; they have no section of their own, and no links: their packets go from NIC to NIC."""

    def references(self, checking: Checking) -> None:
        """See `Kind`."""
        for name, nva in checking.draft.file[NVAS].items():
            checking.refer_links(("nvas", name, "peers_with"), nva.peers_with, NVA, NVA_NIC)

    def joins(self, draft: Draft) -> Iterator[Joined]:
        """See `Kind`."""
        for name, nva in draft.file[NVAS].items():
            yield from (Joined(name, machine_of(far)) for peer in nva.peers_with for far in peer)

    def check(self, checking: Checking) -> None:
        """See `Kind`."""
        for name, nva in checking.draft.file[NVAS].items():
            seen: set[str] = set()
            for i, peer in enumerate(nva.peers_with):
                for far, options in peer.items():
                    path: Path = ("nvas", name, "peers_with", i, far)
                    _check(checking.draft, path, nva, options or PeerOptions())
                    _check_way(checking, path)
                    if machine_of(far) in seen:
                        text = f"peers_with of NVA {name}: {machine_of(far)} is listed twice."
                        checking.draft.error(path, text, "Remove one.")
                    seen.add(machine_of(far))

    def lab(self, draft: Draft, addresses: Addresses, lab: Lab) -> Lab:  # noqa: ARG002
        """See `Kind`: a session has two ends, whichever of them the file names."""
        named, peers = _named(draft), dict[str, list[model.NvaPeer]]()
        for name, far in [pair for pair in product(lab.nva, lab.nva) if {pair, pair[::-1]} & named.keys()]:
            own = named[name, far][1] if (name, far) in named else PeerOptions()
            ends = _nic(named, lab.azure, name, far).name, _nic(named, lab.azure, far, name).name
            peer = model.NvaPeer(far, *ends, own.route_reflector_client, own.next_hop_self)
            peers.setdefault(name, []).append(peer)
        return replace(lab, nvas=tuple(replace(nva, peers=tuple(peers.get(nva.name, ()))) for nva in lab.nvas))


def peer_nic(draft: Draft, azure: Azure, name: str, far: str) -> Nic | None:
    """The NIC of an NVA in its session with another one; None if `peers_with` makes none between them."""
    named = _named(draft)
    return _nic(named, azure, name, far) if {(name, far), (far, name)} & named.keys() else None


_Named = Mapping[tuple[str, str], tuple[str, PeerOptions]]


def _named(draft: Draft) -> _Named:
    """What each NVA's `peers_with` has of another one: its name or that of its NIC, and the options."""
    return {
        (name, machine_of(far)): (far, options or PeerOptions())
        for name, nva in draft.file[NVAS].items()
        for peer in nva.peers_with
        for far, options in peer.items()
    }


def _nic(named: _Named, azure: Azure, name: str, far: str) -> Nic:
    """The NIC of an NVA in its session with another one: as that names it, else one in the other's subnet."""
    if (far, name) in named:
        return azure.find_nic(named[far, name][0])
    there = azure.find_nic(named[name, far][0])
    mine = azure.nics_of(name)
    same = (n for n in mine if (n.virtual_network, n.subnet) == (there.virtual_network, there.subnet))
    return next(same, mine[0])


def _check_way(checking: Checking, path: Path) -> None:
    """Notes a session whose packets get nowhere, by whatever NICs."""
    nvas = checking.draft.file[NVAS]
    ends = [checking.azure.nics_of(machine_of(str(each))) for each in (path[1], path[-1])]
    if not checking.sound or ends[0] == ends[1]:
        return
    for near, far in (ends, ends[::-1]):
        loopback, own = nvas[far[0].machine].loopback, nvas[near[0].machine].loopback
        ways = (obstacle(checking.draft, checking.azure, a, loopback or b.address, b) for a, b in product(near, far))
        found = list(ways)
        if own is not None and not any(nic.ip_forwarding for nic in near):
            found = [f"IP forwarding is off on NIC {near[0].name}, which drops what has its loopback as source"]
        if all(found):
            text = f"NVA {path[1]}: packets of its session with {machine_of(str(path[-1]))} get nowhere: {found[0]}."
            remedy = "Peer the virtual networks, or change the route."
            if own is not None and not any(nic.ip_forwarding for nic in near):
                remedy = "Remove ip_forwarding: false."
            elif loopback is not None:
                remedy = (
                    f"Add {loopback}/32: {far[0].machine} to the route table of its subnet, or remove the loopback."
                )
            checking.draft.error(path, text, remedy)
            return


def _check(draft: Draft, path: Path, nva: Nva, options: PeerOptions) -> None:
    name, other = str(path[1]), machine_of(str(path[-1]))
    far = draft.file[NVAS].get(other)
    if other == name:
        draft.error(path, f"NVA {name}: it can't peer with itself.", "Name another NVA.")
        return
    if far is None or nva.asn is None:
        return
    if far.asn is None:
        if draft.broken(("nvas", other, "asn")):
            return
        text = f"peers_with of NVA {name}: {other} has no ASN, so it has no BGP."
        draft.error(path, text, f"Add asn: 65001 to {other}, or remove it here.")
        return
    if any(one in map(machine_of, link) for one, each in ((other, nva), (name, far)) for link in each.overlays):
        text = f"NVAs {name} and {other} have an overlay, and BGP through it."
        draft.error(path, text, "Remove it from peers_with, or remove the overlay.")
    internal = far.asn == nva.asn
    back = next((each for peer in far.peers_with for end, each in peer.items() if machine_of(end) == name), None)
    if options.route_reflector_client and not internal:
        text = f"NVA {name}: {other} can't be its route_reflector_client: their ASNs differ ({nva.asn}, {far.asn})."
        draft.error((*path, "route_reflector_client"), text, "Remove it: only internal BGP has reflection.")
    elif options.route_reflector_client and back is not None and back.route_reflector_client and name < other:
        text = f"NVAs {name} and {other} are each the other's route_reflector_client."
        draft.error((*path, "route_reflector_client"), text, "Remove it from one of them.")
