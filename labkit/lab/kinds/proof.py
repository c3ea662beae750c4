"""Proofs: what a lab file claims of its running lab."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from labkit.azure.model import Circuit, InstanceId, NextHopType, Nic
from labkit.lab import proofs
from labkit.lab.file import schema_proofs as schema
from labkit.lab.file.draft import Draft
from labkit.lab.file.problems import listed
from labkit.lab.file.schema_captures import CaptureProof
from labkit.lab.file.schema_proofs import PROOFS
from labkit.lab.file.variants import VARIANTS, variant_names
from labkit.lab.file.yaml_source import Path
from labkit.lab.kinds.addresses import Addresses
from labkit.lab.kinds.kind import Checking, Kind
from labkit.lab.kinds.machine import machine_of
from labkit.lab.kinds.next_hop import address_of
from labkit.lab.kinds.nouns import (
    CIRCUIT,
    CIRCUIT_OF_TWO,
    EDGE_ROUTER,
    FIREWALL,
    GATEWAY,
    GATEWAY_INSTANCE,
    INSTANCE,
    LOAD_BALANCER,
    NIC,
    NVA,
    NVA_NIC,
    ROUTE_SERVER,
    SITE,
    SITE_OF_ROUTERS,
    SITE_ROUTER,
    Noun,
    Trait,
)
from labkit.lab.kinds.nva import NVAS
from labkit.lab.kinds.nva_peer import peer_nic
from labkit.lab.kinds.overlay import overlay_nic
from labkit.lab.kinds.site import HOST_SUFFIX, SITES, site_routers
from labkit.lab.model import Lab
from labkit.lab.plan.nodes import INSTANCES
from labkit.lab.proofs import TableKind, table_of

_PEERS = (NVA, GATEWAY_INSTANCE, NVA_NIC)
_IN_NODES = (Trait.NODE, NIC, NVA_NIC)
_OF_TABLE: dict[TableKind, tuple[tuple[Noun | Trait, ...], ...]] = {
    TableKind.LEARNED: ((ROUTE_SERVER,), _PEERS),
    TableKind.ADVERTISED: ((ROUTE_SERVER,), _PEERS),
    TableKind.EFFECTIVE: ((Trait.NIC,),),
    TableKind.GATEWAY: ((GATEWAY,),),
    TableKind.BGP: ((NVA, SITE, SITE_ROUTER, CIRCUIT, EDGE_ROUTER, GATEWAY_INSTANCE),),
}
_TABLES = (
    "learned-routes SERVER PEER",
    "advertised-routes SERVER PEER",
    "effective-routes NIC",
    "gateway learned-routes GATEWAY",
    "routes NODE --bgp",
)


class ProofKind(Kind):
    """Proofs; `labkit.operate.verify` checks them in the running lab."""

    section = PROOFS

    def check(self, checking: Checking) -> None:
        """Notes proofs that could never hold, whatever the lab does."""
        draft, checker = checking.draft, _Checker(checking)
        for i, proof in enumerate(draft.file[PROOFS]):
            path: Path = ("proofs", i)
            # As in a message about its values: a proof is known by its position in the file.
            about = f"proof {draft.proof_position(path) + 1}"
            _check_not_in(draft, path, about, proof)
            stated = checker.only(path, about, proof)
            if stated is None:
                continue
            key, claim = stated
            path, about = (*path, key), f"{about} ({key})"
            if isinstance(claim, schema.Rows):
                denied = checker.only(path, about, claim)
                if denied is not None:
                    checker.check((*path, denied[0]), f"{about[:-1]} {denied[0]})", denied[1], denied=True)
            else:
                checker.check(path, about, claim, denied=False)

    def lab(self, draft: Draft, addresses: Addresses, lab: Lab) -> Lab:  # noqa: ARG002
        """See `Kind`."""
        made = tuple(_proof(draft, i, proof) for i, proof in enumerate(draft.file[PROOFS]))
        return replace(lab, proofs=made)


def _check_not_in(draft: Draft, path: Path, about: str, proof: schema.Proof) -> None:
    known = variant_names(draft.source)
    for name in proof.not_in:
        if name not in known and (known or not draft.broken((VARIANTS,))):
            remedy = draft.suggestion(name, known, "variants")
            draft.error((*path, "not_in"), f'{about}: not_in: there is no variant "{name}".', remedy)


class _Checker:
    def __init__(self, checking: Checking) -> None:
        self.draft = checking.draft
        self.names = checking.names
        self.azure = checking.azure
        self.sound = checking.sound
        self.sessions = {frozenset((each.one, each.other)) for each in checking.joined if each.bgp}

    def only(self, path: Path, about: str, part: schema.Rows) -> tuple[str, schema.Claim | schema.Rows] | None:
        """The one claim that a part states. That it states none or several is noted."""
        stated = schema.claims(part)
        if len(stated) == 1:
            return next(iter(stated.items()))
        if not stated and not self.draft.broken(path):
            keys = [k for k in type(part).model_fields if k not in {"within", "not_in"}]
            self.draft.error(path, f"{about} claims nothing.", f"Give it one of {', '.join(keys)}.")
        elif len(stated) > 1:
            text = f"{about} claims {len(stated)} things at once: {listed(stated)}."
            self.draft.error(path, text, "Make a proof of each.")
        return None

    def check(self, path: Path, about: str, claim: schema.Claim | schema.Rows, *, denied: bool) -> None:
        """One claim; `denied` if it is under `absent`."""
        match claim:
            case schema.SessionProof():
                found = self._names(path, about, {"on": claim.on, "with": claim.with_}, Trait.SPEAKER)
                if found and not denied:
                    self._neighbours(path, about, claim.on, claim.with_)
            case schema.LearnedRouteProof() | schema.LearnedRoutesProof():
                found = self._names(path, about, {"on": claim.on, "from": claim.from_}, Trait.SPEAKER)
                if found and not denied:
                    self._neighbours(path, about, claim.on, claim.from_)
            case schema.AdvertisedRouteProof() | schema.AdvertisedRoutesProof():
                server = self.names.refer(self.draft, (*path, "by"), about, claim.by, ROUTE_SERVER)
                peer = self.names.refer(self.draft, (*path, "to"), about, claim.to, NVA, GATEWAY, NVA_NIC)
                if server and peer:
                    self._neighbours(path, about, claim.by, claim.to)
            case schema.EffectiveRouteProof():
                self._names(path, about, {"on": claim.on}, Trait.NIC, called="NIC")
                self._next_hops(path, about, claim.via)
            case schema.EffectiveRoutesProof():
                self._names(path, about, {"on": claim.on}, Trait.NIC, called="NIC")
                for prefix, hops in claim.rows.items():
                    if not (len(hops) == 1 and hops[0] in set(NextHopType)):
                        self._next_hops((*path, "rows", str(prefix)), about, hops)
            case CaptureProof():
                self._capture(path, about, claim)
            case schema.KernelRouteProof():
                self._names(path, about, {"on": claim.on}, *_IN_NODES, called="node with a kernel's routes")
                self._next_hops(path, about, claim.via)
            case schema.PingProof():
                self._travel(path, about, claim.from_, claim.to)
            case schema.PathProof():
                self._travel(path, about, claim.from_, claim.to)
                self._hops(path, about, claim)

    def _capture(self, path: Path, about: str, claim: CaptureProof) -> None:
        table = table_of(claim.table)
        if table is None:
            text = f'{about}: "{claim.table}" is not a table that can be compared.'
            self.draft.error((*path, "table"), text, f"Write one of: {'; '.join(_TABLES)}.")
            return
        for name, kinds in zip(table.names, _OF_TABLE[table.kind], strict=True):
            self.names.refer(self.draft, (*path, "table"), about, name, *kinds)
        columns = table.kind.columns
        for rows in (claim.rows, *(d.azure for d in claim.otherwise), *(d.here for d in claim.otherwise)):
            for row in rows:
                if len(row) != len(columns):
                    text = f"{about}: a row has {len(row)} cells instead of {len(columns)}: {' '.join(row)}."
                    remedy = f'Its columns are {", ".join(columns)}; write "-" for an empty cell.'
                    self.draft.error(path, text, remedy)

    def _names(
        self, path: Path, about: str, given: dict[str, str], *wanted: Noun | Trait, called: str = "BGP speaker"
    ) -> bool:
        found = [
            self.names.refer(self.draft, (*path, key), about, name, *wanted, called=called)
            for key, name in given.items()
        ]
        return all(found)

    def _neighbours(self, path: Path, about: str, *names: str) -> None:
        """Notes that two speakers have no session with each other, or by other NICs than those that are named."""
        one, other = map(machine_of, names)
        if frozenset((one, other)) in self.sessions:
            for name, mine, far in zip(names, (one, other), (other, one), strict=True):
                if name != mine and self.sound:
                    self._by_nic(path, about, name, far)
            return
        sections = ("route_servers", "nvas", "gateways", "circuits")
        circuits = {e: c for c in self.draft.names("circuits") for e in Circuit(c, None, edges=2).edge_routers}
        ends = {name for each in (one, other) for name in (each, circuits.get(each, each))}
        places: list[Path] = [(section, name) for section in sections for name in ends]
        of_sites = (router for router in site_routers(self.draft).values() if router.name in {one, other})
        places += [(*router.place, "connects_to") for router in of_sites]
        if any(self.draft.broken(place) for place in places):
            return
        near = sorted({n for pair in self.sessions if one in pair for n in pair} - {one})
        remedy = f"{one} has sessions with {listed(near)}." if near else f"{one} has no sessions."
        self.draft.error(path, f"{about}: {one} and {other} have no session with each other.", remedy)

    def _by_nic(self, path: Path, about: str, name: str, far: str) -> None:
        """Notes that an NVA has its session with `far` by another NIC than `name`."""
        nva = machine_of(name)
        nic = self._nic_of_session(nva, far)
        if nic is None:
            text = f"{about}: {nva} has its session with {far} over a link, by no NIC."
            self.draft.error(path, text, f"Write {nva}.")
        elif nic.name != name:
            text = f"{about}: {nva} has its session with {far} by {nic.name}, not by {name}."
            self.draft.error(path, text, f"Write {nic.name}, or {nva} for whatever NIC it is.")

    def _nic_of_session(self, nva: str, far: str) -> Nic | None:
        server = self.azure.route_server.get(far)
        if server is not None:
            address = next((peer.address for peer in server.peers if peer.name == nva), None)
            return next((nic for nic in self.azure.nics_of(nva) if address in nic.addresses), None)
        if far not in self.draft.file[NVAS]:
            return None
        return overlay_nic(self.draft, self.azure, nva, far) or peer_nic(self.draft, self.azure, nva, far)

    def _next_hops(self, path: Path, about: str, via: Iterable[str] | None) -> None:
        for name in via or ():
            if address_of(name) is None:
                place: Path = (*path, "via") if "rows" not in path else path
                wanted = (*_IN_NODES, CIRCUIT_OF_TWO, LOAD_BALANCER, FIREWALL)
                self.names.refer(self.draft, place, about, name, *wanted, called="next hop")

    def _travel(self, path: Path, about: str, source: str, target: str) -> None:
        self.names.refer(self.draft, (*path, "from"), about, source, Trait.HOST, SITE_OF_ROUTERS, called="machine")
        if address_of(target) is not None:
            return
        if self.names.nouns.get(target) == ROUTE_SERVER:
            instances = " or ".join(InstanceId(target, i).node for i in INSTANCES)
            self.draft.error((*path, "to"), f"{about}: {target} has two addresses.", f"Name an instance: {instances}.")
        else:
            self.names.refer(self.draft, (*path, "to"), about, target, *_IN_NODES, SITE_OF_ROUTERS, called="node")

    def _hops(self, path: Path, about: str, claim: schema.PathProof) -> None:
        for name in claim.through:
            if self.names.nouns.get(name) in {ROUTE_SERVER, INSTANCE}:
                text = f"{about}: {name} is {self.names.nouns[name].a}, which never forwards packets."
                self.draft.error((*path, "through"), text, "Name the NVA that the packets cross.")
            else:
                self.names.refer(self.draft, (*path, "through"), about, name, Trait.HOP, called="hop")
        for name in claim.never:
            self.names.refer(
                self.draft, (*path, "never"), about, name, *_IN_NODES, CIRCUIT_OF_TWO, ROUTE_SERVER, called="hop"
            )
        for name in dict.fromkeys(claim.never):
            if name in map(machine_of, claim.through) or name in claim.through:
                self.draft.error(
                    (*path, "never"), f"{about}: {name} is in through and in never.", "Remove it from one."
                )


def _proof(draft: Draft, position: int, proof: schema.Proof) -> proofs.Proof:
    ((key, stated),) = schema.claims(proof).items()
    if isinstance(stated, schema.Rows):
        ((_, denied),) = schema.claims(stated).items()
        assert not isinstance(denied, schema.Rows)  # no `absent` has one of its own
        row = _claim(draft, denied)
        assert not isinstance(row, proofs.PathClaim | proofs.TableProof | proofs.Capture)
        claim: proofs.Claim | proofs.Absent = proofs.Absent(row)
    else:
        claim = _claim(draft, stated)
    return proofs.Proof(claim, draft.line(("proofs", position, key)), proof.within)


def _claim(draft: Draft, claim: schema.Claim) -> proofs.Claim:
    match claim:
        case schema.SessionProof():
            return proofs.SessionClaim(claim.on, claim.with_)
        case schema.LearnedRouteProof():
            return proofs.LearnedRouteClaim(claim.on, claim.prefix, claim.from_, claim.as_path)
        case schema.AdvertisedRouteProof():
            return proofs.AdvertisedRouteClaim(claim.by, claim.to, claim.prefix, claim.as_path)
        case schema.EffectiveRouteProof():
            return proofs.EffectiveRouteClaim(claim.on, claim.prefix, claim.type and str(claim.type), claim.via)
        case schema.LearnedRoutesProof():
            return proofs.LearnedRoutesClaim(claim.on, claim.from_, claim.rows)
        case schema.AdvertisedRoutesProof():
            return proofs.AdvertisedRoutesClaim(claim.by, claim.to, claim.rows)
        case schema.EffectiveRoutesProof():
            return proofs.EffectiveRoutesClaim(claim.on, claim.rows)
        case CaptureProof():
            table = proofs.table_of(claim.table)
            assert table is not None  # it is checked
            deviations = tuple(proofs.Deviation(d.because, d.azure, d.here) for d in claim.otherwise)
            return proofs.Capture(table, claim.source, claim.rows, deviations)
        case schema.KernelRouteProof():
            return proofs.KernelRouteClaim(claim.on, claim.prefix, claim.via)
        case schema.PingProof():
            return proofs.PingClaim(_source(draft, claim.from_), address_of(claim.to) or claim.to)
        case schema.PathProof():
            to = address_of(claim.to) or claim.to
            return proofs.PathClaim(_source(draft, claim.from_), to, claim.through, claim.never)


def _source(draft: Draft, name: str) -> str:
    # Packets of a site come from its host, as they go to it; the router's own would come from its WAN address.
    return name + HOST_SUFFIX if name in draft.file[SITES] else name
