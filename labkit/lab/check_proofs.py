"""The proofs of a lab file: exactly one claim each, about things that are there and that can do what is claimed."""

from __future__ import annotations

from collections.abc import Iterable

from labkit.azure.model import InstanceId, NextHopType
from labkit.lab.build import address_of, peer_names
from labkit.lab.check_names import Kind, Names
from labkit.lab.draft import Draft
from labkit.lab.file import schema
from labkit.lab.file.problems import listed, suggestion
from labkit.lab.file.schema_captures import CaptureProof
from labkit.lab.file.variants import VARIANTS, variant_names
from labkit.lab.file.yaml_source import Path
from labkit.lab.plan.nodes import INSTANCES
from labkit.lab.proofs import TableKind, table_of

_SPEAKERS = (Kind.ROUTE_SERVER, Kind.NVA, Kind.SITE, Kind.GATEWAY, Kind.CIRCUIT)
_NICS = (Kind.NVA, Kind.VIRTUAL_MACHINE)
_HOSTS = (Kind.VIRTUAL_MACHINE, Kind.NVA, Kind.SITE, Kind.SITE_HOST, Kind.INTERNET)
_HOPS = (*_HOSTS, Kind.CIRCUIT, Kind.GATEWAY_INSTANCE)
_NODES = (*_HOPS, Kind.INSTANCE)

_PEERS = (Kind.NVA, Kind.GATEWAY_INSTANCE)
_OF_TABLE = {
    TableKind.LEARNED: ((Kind.ROUTE_SERVER,), _PEERS),
    TableKind.ADVERTISED: ((Kind.ROUTE_SERVER,), _PEERS),
    TableKind.EFFECTIVE: (_NICS,),
    TableKind.GATEWAY: ((Kind.GATEWAY,),),
    TableKind.BGP: ((Kind.NVA, Kind.SITE, Kind.CIRCUIT, Kind.GATEWAY_INSTANCE),),
}
_TABLES = (
    "learned-routes SERVER PEER",
    "advertised-routes SERVER PEER",
    "effective-routes NIC",
    "gateway learned-routes GATEWAY",
    "routes NODE --bgp",
)


def check_proofs(draft: Draft, names: Names) -> None:
    """Notes proofs that could never hold, whatever the lab does."""
    checker = _Checker(draft, names)
    for i, proof in enumerate(draft.file.proofs):
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


def _check_not_in(draft: Draft, path: Path, about: str, proof: schema.Proof) -> None:
    known = variant_names(draft.source)
    for name in proof.not_in:
        if name not in known and (known or not draft.broken((VARIANTS,))):
            remedy = suggestion(name, known, "variants")
            draft.error((*path, "not_in"), f'{about}: not_in: there is no variant "{name}".', remedy)


class _Checker:
    def __init__(self, draft: Draft, names: Names) -> None:
        self.draft = draft
        self.names = names
        self.sessions = {
            frozenset(pair)
            for pair in (
                *((r, p) for r, server in draft.file.route_servers.items() for p in peer_names(server)),
                *((n, s) for _, n, links in draft.file.wan() for link in links for s in link),
                *((n, o) for n, nva in draft.file.nvas.items() for link in nva.overlays for o in link),
                *(
                    (g, c)
                    for g, gateway in draft.file.gateways.items()
                    for connection in gateway.connects_to
                    for c, options in connection.items()
                    if options is None or options.bgp
                ),
                *(
                    (r, g)
                    for r, server in draft.file.route_servers.items()
                    for g, gateway in draft.file.gateways.items()
                    if gateway.virtual_network == server.virtual_network
                ),
            )
        }

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
        """One claim; `denied` if it stands under `absent`."""
        match claim:
            case schema.SessionProof():
                found = self._names(path, about, {"on": claim.on, "with": claim.with_}, *_SPEAKERS)
                if found and not denied:
                    self._neighbours(path, about, claim.on, claim.with_)
            case schema.LearnedRouteProof() | schema.LearnedRoutesProof():
                found = self._names(path, about, {"on": claim.on, "from": claim.from_}, *_SPEAKERS)
                if found and not denied:
                    self._neighbours(path, about, claim.on, claim.from_)
            case schema.AdvertisedRouteProof() | schema.AdvertisedRoutesProof():
                server = self.names.refer(self.draft, (*path, "by"), about, claim.by, Kind.ROUTE_SERVER)
                peer = self.names.refer(self.draft, (*path, "to"), about, claim.to, Kind.NVA, Kind.GATEWAY)
                if server and peer:
                    self._neighbours(path, about, claim.by, claim.to)
            case schema.EffectiveRouteProof():
                self._names(path, about, {"on": claim.on}, *_NICS, wanted="NIC")
                self._next_hops(path, about, claim.via)
            case schema.EffectiveRoutesProof():
                self._names(path, about, {"on": claim.on}, *_NICS, wanted="NIC")
                for prefix, hops in claim.rows.items():
                    if not (len(hops) == 1 and hops[0] in set(NextHopType)):
                        self._next_hops((*path, "rows", str(prefix)), about, hops)
            case CaptureProof():
                self._capture(path, about, claim)
            case schema.KernelRouteProof():
                self._names(path, about, {"on": claim.on}, *_NODES, wanted="node with a kernel's routes")
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

    def _names(self, path: Path, about: str, said: dict[str, str], *kinds: Kind, wanted: str = "BGP speaker") -> bool:
        found = [
            self.names.refer(self.draft, (*path, key), about, name, *kinds, wanted=wanted) for key, name in said.items()
        ]
        return all(found)

    def _neighbours(self, path: Path, about: str, one: str, other: str) -> None:
        if frozenset((one, other)) in self.sessions:
            return
        if any(
            self.draft.broken((section, name))
            for section in ("route_servers", "nvas", "gateways", "circuits")
            for name in (one, other)
        ):
            return
        near = sorted({n for pair in self.sessions if one in pair for n in pair} - {one})
        remedy = f"{one} has sessions with {listed(near)}." if near else f"{one} has no sessions."
        self.draft.error(path, f"{about}: {one} and {other} have no session with each other.", remedy)

    def _next_hops(self, path: Path, about: str, via: Iterable[str] | None) -> None:
        for name in via or ():
            if address_of(name) is None:
                place: Path = (*path, "via") if "rows" not in path else path
                self.names.refer(self.draft, place, about, name, *_NODES, Kind.LOAD_BALANCER, wanted="next hop")

    def _travel(self, path: Path, about: str, source: str, target: str) -> None:
        self.names.refer(self.draft, (*path, "from"), about, source, *_HOSTS, wanted="machine")
        if address_of(target) is not None:
            return
        if self.names.kinds.get(target) is Kind.ROUTE_SERVER:
            instances = " or ".join(InstanceId(target, i).node for i in INSTANCES)
            self.draft.error((*path, "to"), f"{about}: {target} has two addresses.", f"Name an instance: {instances}.")
        else:
            self.names.refer(self.draft, (*path, "to"), about, target, *_NODES, wanted="node")

    def _hops(self, path: Path, about: str, claim: schema.PathProof) -> None:
        for name in claim.through:
            if self.names.kinds.get(name) in {Kind.ROUTE_SERVER, Kind.INSTANCE}:
                text = f"{about}: {name} is {self.names.kinds[name].a}, which never forwards packets."
                self.draft.error((*path, "through"), text, "Name the NVA that the packets cross.")
            else:
                self.names.refer(self.draft, (*path, "through"), about, name, *_HOPS, wanted="hop")
        for name in claim.never:
            self.names.refer(self.draft, (*path, "never"), about, name, *_NODES, Kind.ROUTE_SERVER, wanted="hop")
        for name in dict.fromkeys(claim.never):
            if name in claim.through:
                self.draft.error(
                    (*path, "never"), f"{about}: {name} is in through and in never.", "Remove it from one."
                )
