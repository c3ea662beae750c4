"""Network virtual appliances."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo
from pydantic.json_schema import WithJsonSchema

from labkit.azure.model import ROUTE_SERVER_ASN, Appliance, Azure, BgpPeer, ExportRule, PathChanges
from labkit.azure.model.problem import Code, Problem
from labkit.daemons.speaker import BgpTimers
from labkit.lab import model
from labkit.lab.file.draft import Draft
from labkit.lab.file.references import Reference
from labkit.lab.file.schema import Section
from labkit.lab.file.schema_types import (
    Address,
    Asn,
    AzureName,
    Communities,
    LinkOptions,
    MachineName,
    Named,
    OverlayOptions,
    Part,
    Prefix,
    Prefixes,
    Timers,
    Words,
    mistake,
)
from labkit.lab.file.yaml_source import Path
from labkit.lab.kinds import export_rules
from labkit.lab.kinds.addresses import Addresses, Assignment
from labkit.lab.kinds.kind import AzureRefusal, Checking, Given, GivenMac, Kind
from labkit.lab.kinds.machine import (
    FileNic,
    Machine,
    MachineNic,
    assign_nics,
    check_place,
    check_several_nics,
    declared_machines,
    file_nics,
    given_macs,
    given_nics,
    machine_of,
    nics,
    own_nics,
)
from labkit.lab.kinds.names import Declared
from labkit.lab.kinds.next_hop import address_of, refer_next_hop
from labkit.lab.kinds.nouns import INTERNET, NVA, NVA_NIC, ROUTE_SERVER, SITE, SITE_OF_ROUTERS
from labkit.lab.kinds.own_router import check_own
from labkit.lab.kinds.site import check_asn
from labkit.lab.kinds.static_routes import check_static_routes, refer_static_routes, static_routes
from labkit.lab.kinds.timers import check_timers
from labkit.lab.model import Lab, Snat
from labkit.lab.plan.common import Planned
from labkit.lab.plan.nva_node import nva_node
from labkit.lab.plan.wires import Wiring
from labkit.names import in_any_case

OF_BGP = (
    *("advertises", "connects_to", "overlays", "peers_with", "timers", "exports", *export_rules.SHORTHANDS),
    *("redistribute_static", "requires_policy", "ebgp_multihop", "tracks", "daemon"),
)
"""The options of a BGP speaker."""


class PeerOptions(Part):
    """What a BGP session with another NVA is like at the end of the NVA that has it."""

    route_reflector_client: bool = False
    """True: routes from it are reflected to all internal neighbours, and all routes to it (RFC 4456)."""
    next_hop_self: bool = False
    """True: paths to it have the NVA's address as next hop (those that it reflects keep theirs). Without it, internal
    BGP keeps next hops, and external BGP keeps one that is in the subnet of both."""


ALL = "all"


def _parse_snat(value: object) -> object:
    words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False, ALL: ALL}
    known = words.get(value.lower(), value) if isinstance(value, str) else value
    if known not in words.values():
        shown = f'"{value}"' if isinstance(value, str) else "it"
        raise mistake(f"{shown} is none of true, false and all", "Write true (to public addresses), all, or false.")
    return known


SnatOption = Annotated[
    bool | str, BeforeValidator(_parse_snat), WithJsonSchema({"anyOf": [{"type": "boolean"}, {"const": ALL}]})
]


class NvaNic(MachineNic):
    """A NIC of an NVA that has several: its subnet alone, or the subnet and more."""

    ip_forwarding: bool = True
    """False: Azure drops what is not to or from the NIC's own address."""
    snat: SnatOption = False
    """True: what the NVA forwards to public addresses by this NIC carries the NIC's address; `all`: to any address."""


def _own_nics_first(routes: dict[IPv4Network, str], info: ValidationInfo) -> dict[IPv4Network, str]:
    nics: Collection[str] = info.data.get("nics", ())
    return {prefix: in_any_case(hop, nics) or hop for prefix, hop in routes.items()}


class Nva(Machine):
    """A network virtual appliance: a router with one NIC, or with several, with or without BGP."""

    per_nic = (*Machine.per_nic, "snat")

    nics: Mapping[AzureName, NvaNic] = Field(default_factory=dict)
    """Instead of subnet, address and so on: several NICs by name, in one virtual network. The first is the primary."""
    asn: Asn | None = None
    """Its ASN. Without one it has no BGP: a router, or a firewall."""
    daemon: Literal["frr", "bird"] = "frr"
    """Its BGP daemon."""
    config: str | None = None
    """The daemon's configuration: a file of your own, such as fw/frr.conf, by its path from the lab file."""
    image: str | None = None
    """An image of your own in place of labkit's, such as vendor/router:1.2. On containerlab alone."""
    binds: Words = ()
    """For `image`: files and folders from next to the lab file, as containerlab has them: source:/target or :ro."""
    env: Mapping[str, str] = Field(default_factory=dict)
    """For `image`: its environment variables."""
    cmd: str | None = None
    """For `image`: its command. Default: the image's own."""
    cap_add: Words = ()
    """For `image`: capabilities besides NET_ADMIN, such as SYS_ADMIN for FRR."""
    advertises: Prefixes = ()
    """Prefixes that it originates."""
    snat: SnatOption = False
    """True: what it forwards to public addresses carries its own address; `all`: to any address."""
    stateful: bool = False
    """True: it forwards nothing of a TCP connection, and no answer by UDP, whose beginning went another way."""
    connects_to: Named[LinkOptions] = Field(default_factory=list)
    """Sites behind it, each over a link of its own: names, or `{site: prefix of the link}`."""
    overlays: Named[OverlayOptions] = Field(default_factory=list)
    """NVAs, or NICs of theirs, that it has a VXLAN tunnel with, and BGP through it: names, or `{nva: prefix of the
    link}`, or `{nva: {public: true}}` for one over the Internet."""
    loopback: Address | None = None
    """An address of its own, on no NIC: its BGP identifier, and its end of the sessions of `peers_with`. What leads
    there, such as a route table's route to the NVA, is the lab's."""
    peers_with: Named[PeerOptions] = Field(default_factory=list)
    """NVAs, or NICs of theirs, that it has BGP with from NIC to NIC: names, or `{nva: {next_hop_self:
    true}}`. One side is enough; the other may name it too, for its own options. With one ASN BGP is internal."""
    static_routes: Annotated[dict[Prefix, Reference], AfterValidator(_own_nics_first)] = Field(default_factory=dict)
    """Next hop by prefix: a NIC of its own (that is, its subnet's gateway), a site or NVA at a link, or an address."""
    redistribute_static: bool = False
    """True: it originates its `static_routes`, too, with ORIGIN incomplete; none of those that labkit gives it."""
    ip_forwarding: bool = True
    """False: Azure drops what is not to or from the NIC's own address."""
    timers: Timers = Timers()
    """Its BGP timers."""
    exports: tuple[export_rules.ExportRule, ...] = ()
    """Its export policy: the first rule that matches decides, and what none matches is advertised unchanged."""
    prepend: Annotated[int, Field(ge=0, le=10)] = 0
    """Short for a last rule of `exports`: how many times more it puts its own ASN into all paths."""
    as_override: bool = False
    """Short for a last rule: in the paths that it sends to route servers, its ASN takes the place of their 65515."""
    strip_route_server_asn: bool = False
    """Short for a last rule: in the paths to route servers, their 65515 is missing. Instead of as_override."""
    requires_policy: bool = False
    """True: FRR's default, `bgp ebgp-requires-policy`, without any policy: sessions, but no route in or out."""
    ebgp_multihop: bool = True
    """False: its sessions with route servers lack `ebgp-multihop`."""
    communities: Communities = ()
    """Short for a last rule: communities on all paths to route servers, such as no-advertise or 65001:100."""
    next_hop: Reference | None = None
    """Short for a last rule: next hop of all paths to route servers: another NVA, a load balancer, an address, or
    `unchanged`: each path's own, as a relay has it."""
    tracks: Reference | None = None
    """While this does not answer, it withdraws what it `advertises`: a site (its host), internet, or an address."""


NVAS: Section[dict[str, Nva]] = Section(
    "nvas",
    "NVA",
    dict[MachineName, Nva],
    "Network virtual appliances by name.",
    dict,
    parts={
        "connects_to": 'link of NVA {0} to "{1}"',
        "overlays": 'overlay of NVA {0} to "{1}"',
        "nics": "NIC {1} of NVA {0}",
        "peers_with": 'session of NVA {0} with "{1}"',
        "static_routes": "static route {1} of NVA {0}",
    },
)


def _nic(draft: Draft, problem: Problem) -> tuple[Path, str]:  # noqa: ARG001
    machine, _, nic = problem.subjects[0].partition("/")
    return ("virtual_machines", machine, *(("nics", nic) if nic else ())), ""


def _is_an_nvas(draft: Draft, problem: Problem) -> bool:
    # That is noted for every NVA, whoever leads packets there.
    return machine_of(problem.subjects[0]) in draft.file[NVAS]


def _links(nva: Nva) -> dict[str, IPv4Network | None]:
    """The ranges of an NVA's links and overlays by the far end, as far as the file gives them."""
    both: tuple[Mapping[str, LinkOptions | OverlayOptions | None], ...] = (*nva.connects_to, *nva.overlays)
    return {machine_of(far): o.prefix if o is not None else None for each in both for far, o in each.items()}


def _nics(draft: Draft) -> Iterator[FileNic]:
    return file_nics("nvas", draft.file[NVAS])


class NvaKind(Kind):
    """NVAs; each is a node with a BGP daemon. Links and overlays have kinds of their own."""

    section = NVAS
    noun = NVA
    refusals: ClassVar[Mapping[Code, AzureRefusal]] = {
        Code.NIC_NOT_FORWARDING: AzureRefusal("Add ip_forwarding: true to it.", _nic, _is_an_nvas),
    }

    def names(self, draft: Draft) -> Iterator[Declared]:
        """See `Kind`."""
        return declared_machines(draft, "nvas", NVA, NVA_NIC)

    def references(self, checking: Checking) -> None:
        """See `Kind`."""
        draft, names = checking.draft, checking.names
        for nic in _nics(draft):
            check_place(checking, nic.place, nic.keys.subnet)
        for name, nva in draft.file[NVAS].items():
            place: Path = ("nvas", name, "static_routes")
            refer_static_routes(checking, place, nva.static_routes, own_nics("nvas", name, nva), _links(nva))
        for name, nva in draft.file[NVAS].items():
            hop = nva.next_hop
            if hop is not None:
                path: Path = ("nvas", name, "next_hop")
                refer_next_hop(checking, path, f"next_hop of NVA {name}", hop, (export_rules.NEXT_HOP_UNCHANGED,))
            export_rules.check_export_rules(checking, ("nvas", name, "exports"), nva.exports)
            if nva.tracks is not None and address_of(nva.tracks) is None:
                wanted = (SITE, SITE_OF_ROUTERS, INTERNET)
                names.refer(draft, ("nvas", name, "tracks"), f"tracks of NVA {name}", nva.tracks, *wanted)

    def given(self, draft: Draft) -> Iterator[Given]:
        """See `Kind`."""
        yield from given_nics(draft, _nics(draft))
        for name, nva in draft.file[NVAS].items():
            if nva.loopback is not None:
                yield Given(nva.loopback, f"loopback of NVA {name}", ("nvas", name, "loopback"))

    def macs(self, draft: Draft) -> Iterator[GivenMac]:
        """See `Kind`."""
        return given_macs(_nics(draft))

    def assign(self, assignment: Assignment) -> None:
        """See `Kind`."""
        assign_nics(assignment, _nics(assignment.draft))

    def azure(self, draft: Draft, addresses: Addresses, azure: Azure) -> Azure:
        """See `Kind`."""
        return replace(
            azure,
            nics=(*azure.nics, *nics(draft, addresses, _nics(draft))),
            appliances=tuple(
                Appliance(name, nva.advertises, tuple(_exports(draft, name, azure.peered_with(name), addresses)))
                for name, nva in draft.file[NVAS].items()
                if nva.asn is not None
            ),
        )

    def check(self, checking: Checking) -> None:
        """See `Kind`."""
        for name, nva in checking.draft.file[NVAS].items():
            check_several_nics(checking.draft, "nvas", NVA, name, nva)
            links = _links(nva)
            place: Path = ("nvas", name, "static_routes")
            check_static_routes(checking.draft, place, nva.static_routes, own_nics("nvas", name, nva), links)
            _check(checking, name, nva)

    def lab(self, draft: Draft, addresses: Addresses, lab: Lab) -> Lab:
        """See `Kind`."""
        nvas = tuple(
            model.Nva(
                name=name,
                asn=nva.asn,
                loopback=nva.loopback,
                snat=_snat(name, nva),
                timers=BgpTimers(nva.timers.keepalive, nva.timers.hold),
                requires_policy=nva.requires_policy,
                ebgp_multihop=nva.ebgp_multihop,
                redistribute_static=nva.redistribute_static,
                stateful=nva.stateful,
                tracks=_address(nva.tracks, addresses.hosts),
                static_routes=tuple(static_routes(nva.static_routes, own_nics("nvas", name, nva))),
                policy_routing=nva.policy_routing,
                route_servers={
                    server.name: _peering_nic(lab.azure, name, peer)
                    for server in lab.azure.route_servers
                    for peer in server.peers
                    if peer.name == name
                },
                daemon=nva.daemon,
                config=nva.config or "",
                container=model.Container(nva.image, nva.binds, dict(nva.env), nva.cmd or "", nva.cap_add)
                if nva.image is not None
                else None,
            )
            for name, nva in draft.file[NVAS].items()
        )
        return replace(lab, nvas=nvas)

    def nodes(self, lab: Lab, wiring: Wiring) -> Iterator[Planned]:
        """See `Kind`."""
        yield from (nva_node(lab, wiring, nva) for nva in lab.nvas)


def _snat(name: str, nva: Nva) -> dict[str, Snat]:
    """The NICs whose address packets get, and which packets do."""
    by_nic = {name: nva.snat} | {f"{name}/{nic}": keys.snat for nic, keys in nva.nics.items()}
    return {nic: Snat.ALL if value == ALL else Snat.PUBLIC for nic, value in by_nic.items() if value}


def _peering_nic(azure: Azure, nva: str, peer: BgpPeer) -> str:
    """The NIC with which an NVA is the peer of a route server: that of the peer's address, else the primary one."""
    mine = azure.nics_of(nva)
    return next((nic for nic in mine if peer.address in nic.addresses), mine[0]).name


def _address(text: str | None, named: dict[str, IPv4Address]) -> IPv4Address | None:
    """The address that a text is, or that it names."""
    return None if text is None else address_of(text) or named.get(text)


def _exports(draft: Draft, name: str, servers: tuple[str, ...], addresses: Addresses) -> Iterator[ExportRule]:
    """An NVA's export policy: its rules, then what its one-word options are short for."""
    nva = draft.file[NVAS][name]
    yield from export_rules.export_rules(nva.exports, addresses.next_hops)
    address, unchanged = export_rules.next_hop_set(nva.next_hop, addresses.next_hops)
    to_all = PathChanges(nva.prepend)
    to_servers = replace(
        to_all,
        communities=nva.communities,
        next_hop=address,
        next_hop_unchanged=unchanged,
        as_override=nva.as_override,
        strip=(ROUTE_SERVER_ASN,) if nva.strip_route_server_asn else (),
    )
    if servers and to_servers != to_all:
        yield ExportRule(servers, changes=to_servers)
    if nva.prepend:
        yield ExportRule(_external_neighbours(draft, name, servers), changes=to_all)


def _external_neighbours(draft: Draft, name: str, servers: tuple[str, ...]) -> tuple[str, ...] | None:
    """The external neighbours of an NVA, None if it has no other ones: an internal one drops its own ASN."""
    nvas, nva = draft.file[NVAS], draft.file[NVAS][name]
    joined = {
        one: {*(machine_of(far) for link in each.overlays for far in link)}
        | {machine_of(far) for peer in each.peers_with for far in peer}
        for one, each in nvas.items()
    }
    others = [other for other in nvas if other in joined[name] or name in joined[other]]
    external = [other for other in others if nvas[other].asn != nva.asn]
    sites = [site for link in nva.connects_to for site in link]
    return (*servers, *sites, *external) if len(external) < len(others) else None


def _check(checking: Checking, name: str, nva: Nva) -> None:
    draft = checking.draft
    check_own(draft, name, nva)
    for nic in file_nics("nvas", {name: nva}):
        if not nic.keys.ip_forwarding:
            about, which = draft.subject(nic.place)[0], "it" if nva.nics else "its NIC"
            text = f"{about}: IP forwarding is off on {which}, which drops whatever the NVA forwards."
            draft.warn((*nic.place, "ip_forwarding"), text, "Remove ip_forwarding: false.")
    if nva.asn is not None:
        _check_bgp(checking, name, nva, nva.asn)
        return
    unread = draft.broken(("nvas", name, "asn"))
    for key in (key for key in OF_BGP if key in nva.model_fields_set and not unread):
        text = f"NVA {name}: {key} needs BGP, and the NVA has no asn."
        draft.error(("nvas", name, key), text, f"Add asn: 65001, or remove {key}.")


def _check_bgp(checking: Checking, name: str, nva: Nva, asn: int) -> None:
    draft = checking.draft
    export_rules.check_effect(checking, ("nvas", name, "exports"), name, nva.exports)
    check_timers(draft, ("nvas", name), nva.timers)
    # A route server that takes the NVA's own ASN for the peer's has judged it.
    if ("nvas", name, "asn") not in checking.judged:
        check_asn(draft, ("nvas", name, "asn"), asn)
    joined = checking.joined_to(name)
    peered = any(checking.names.nouns.get(each) == ROUTE_SERVER for each in joined)
    if not joined and not draft.broken(("route_servers",)):
        text = f"NVA {name} has no BGP session: no route server has it as a peer, and it connects to no site."
        draft.warn(("nvas", name), text, f"Add it to the peers of a route server: peers: [{name}].")
    elif not peered and not draft.broken(("route_servers",)):
        for key in ("as_override", "strip_route_server_asn"):
            if getattr(nva, key):
                text = f"NVA {name}: {key} has no effect: no route server has it as a peer."
                remedy = f"Add it to the peers of a route server, peers: [{name}], or remove {key}."
                draft.warn(("nvas", name, key), text, remedy)
    last = next((i for i, rule in enumerate(nva.exports, 1) if rule.decides_always), None)
    for key in export_rules.SHORTHANDS if last is not None else ():
        if getattr(nva, key):
            text = f"NVA {name}: {key} has no effect: export rule {last} decides for every path."
            draft.warn(("nvas", name, key), text, f"Write it as a rule before that one, or remove {key}.")
    if nva.as_override and nva.strip_route_server_asn:
        text = f"NVA {name}: as_override replaces the ASN that strip_route_server_asn removes."
        draft.error(("nvas", name, "strip_route_server_asn"), text, "Remove one of them.")
    if nva.requires_policy:
        _check_silent(draft, name, nva)
    if nva.redistribute_static and not nva.static_routes:
        text = f"NVA {name}: redistribute_static has no effect: the NVA has no static_routes."
        draft.warn(("nvas", name, "redistribute_static"), text, "Add static_routes, or remove redistribute_static.")
    if nva.tracks is not None and not nva.advertises:
        text = f"NVA {name}: tracks has no effect: the NVA advertises nothing of its own that it could withdraw."
        draft.warn(("nvas", name, "tracks"), text, "Add what it advertises, such as [0.0.0.0/0], or remove tracks.")


def _check_silent(draft: Draft, name: str, nva: Nva) -> None:
    """What changes nothing of an NVA that advertises nothing."""
    for key in (k for k in ("exports", *export_rules.SHORTHANDS, "redistribute_static", "tracks") if getattr(nva, k)):
        text = f"NVA {name}: {key} has no effect: with requires_policy it sends no route."
        draft.warn(("nvas", name, key), text, f"Remove {key}, or requires_policy.")
