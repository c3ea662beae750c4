"""From the values of a lab file to a lab: every kind's hooks, stage by stage.

References come before everything that follows them: what refers to nothing counts as left out, so that one wrong name
is one mistake. Every stage notes its mistakes and goes on with the sound rest.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import Azure
from labkit.azure.model.problem import Problem
from labkit.azure.rules.addressing import SUBNET_LONGEST, is_usable, reserved_addresses
from labkit.azure.rules.validation import problems, warnings
from labkit.lab.file.draft import Draft, known_keys, read
from labkit.lab.file.problems import Severity, listed, nearest
from labkit.lab.file.references import Namespace, Spellings, spellings
from labkit.lab.file.schema import shape
from labkit.lab.file.schema_types import MAX_VARIANT_NAME, OWN_NAME
from labkit.lab.file.variants import VARIANTS
from labkit.lab.file.yaml_source import Path, Source
from labkit.lab.kinds.addresses import WAN_LENGTH, Addresses, Assignment, ends
from labkit.lab.kinds.internet import INTERNET
from labkit.lab.kinds.internet import NAME as INTERNET_NAME
from labkit.lab.kinds.kind import AzureRefusal, Checking, Given, GivenMac, Range
from labkit.lab.kinds.names import Declared, Names, invalid_name
from labkit.lab.kinds.next_hop import address_of
from labkit.lab.kinds.nouns import INTERNET as INTERNET_NOUN
from labkit.lab.kinds.nouns import Trait
from labkit.lab.kinds.registry import KINDS
from labkit.lab.kinds.site import SITES
from labkit.lab.model import Lab
from labkit.lab.plan.macs import FABRIC_MAC
from labkit.lab.plan.nodes import CONTROLLER
from labkit.names import handle, is_valid

SHAPE = shape([kind.section for kind in KINDS if kind.section is not None])
"""The shape of lab files."""

MAX_LAB_NAME = 24
_NEXT_HOP_TYPES = {"none", "vnetlocal"}
_NOT_HOSTS = (IPv4Network("0.0.0.0/8"), IPv4Network("127.0.0.0/8"), IPv4Network("224.0.0.0/3"))
_REFUSALS = {code: refusal for kind in KINDS for code, refusal in kind.refusals.items()}


@dataclass(frozen=True)
class Checked:
    """A lab file whose mistakes have all been noted in its `draft`.

    `left_out` are the places that do not have the shape of a lab file, `unknown` names that nothing sound in it has.
    """

    draft: Draft
    addresses: Addresses
    azure: Azure
    left_out: frozenset[Path]
    unknown: frozenset[str]

    def lab(self) -> Lab:
        """The lab; its draft must be without errors."""
        lab = Lab(self.draft.file.name, self.azure, variant=self.draft.source.variant)
        for kind in KINDS:
            lab = kind.lab(self.draft, self.addresses, lab)
        return lab


def check(source: Source, base: Checked | None = None, reserved: Iterable[IPv4Address] = ()) -> Checked:
    """The values of a lab file against their shape, and against what Azure and labkit can do.

    Of a variant, `base` is its file: what follows from a mistake there is not noted again. `reserved` are addresses
    that are chosen for nothing, but may be given.
    """
    reported = base.unknown if base is not None else frozenset()
    unread = Draft(SHAPE.model(name="lab"), source, SHAPE)
    declared = [each for kind in KINDS for each in kind.names(unread)]
    draft = read(source, SHAPE, _spelled(unread, declared), reported, base.left_out if base is not None else ())
    left_out = frozenset(draft.damaged)
    checking = Checking(draft, _names(draft, declared, reported))
    for kind in KINDS:
        kind.references(checking)
    checking.joined = tuple(each for kind in KINDS for each in kind.joins(draft))
    ranges = [each for kind in KINDS for each in kind.ranges(draft)]
    _check_ranges(draft, ranges)
    given = [each for kind in KINDS for each in kind.given(draft)]
    _check_given(draft, given)
    macs = [each for kind in KINDS for each in kind.macs(draft)]
    _check_macs(draft, macs)
    addresses = _assign(draft, [*(each.address for each in given), *reserved], macs, ranges)
    azure = Azure(())
    for kind in KINDS:
        azure = kind.azure(draft, addresses, azure)
    _check_azure(draft, azure)
    checking.azure = azure
    problems = (*draft.problems, *(base.draft.problems if base is not None else ()))
    checking.sound = not checking.names.unknown and all(p.severity is not Severity.ERROR for p in problems)
    for kind in KINDS:
        kind.check(checking)
    checking.names.report_unknown(draft)
    return Checked(draft, addresses, azure, left_out, frozenset((*checking.names.unknown, *checking.names.adrift)))


def _assign(draft: Draft, given: Iterable[IPv4Address], macs: Iterable[GivenMac], ranges: Sequence[Range]) -> Addresses:
    links = [r.prefix for r in ranges if r.link and r.prefix.prefixlen >= WAN_LENGTH]
    taken = [*given, *(end for link in links for end in ends(link))]
    assignment = Assignment(draft, taken, [each.mac for each in macs], [r.prefix for r in ranges if not _hostless(r)])
    for kind in KINDS:
        kind.assign(assignment)
    return assignment.addresses


# Names.


def _spelled(draft: Draft, declared: Iterable[Declared]) -> Spellings:
    """The spellings of everything that a file may refer to."""
    networks = draft.names("virtual_networks")
    subnets = [f"{v}/{s}" for v in networks for s in draft.names("virtual_networks", v, "subnets")]
    objects = (*(each.name for each in declared), *subnets, INTERNET_NAME)
    return spellings({Namespace.OBJECTS: objects, Namespace.ROUTE_TABLES: draft.names("route_tables")})


def _names(draft: Draft, declared: Sequence[Declared], reported: Collection[str]) -> Names:
    """The names of a file; notes what names may not be, and names that two things have."""
    _check_lab_name(draft)
    names = Names(reported)
    data = draft.source.data
    for kind in KINDS:
        if kind.section is not None and kind.noun is not None and isinstance(data, dict):
            entries = data.get(kind.section.key)
            if entries is not None and not isinstance(entries, dict):
                names.blind.add(kind.noun)
    for key in draft.names():
        if key != "name" and key not in SHAPE.sections and (beneath := draft.names(key)):
            names.adrift |= {*beneath, *filter(None, [nearest(key, SHAPE.sections)])}
    known = known_keys(SHAPE.model, (SITES.key, ""))
    for site in draft.names(SITES.key):  # its routers, if the key is misspelt
        unknown = (key for key in draft.names(SITES.key, site) if key not in known)
        names.adrift |= {name for key in unknown for name in draft.names(SITES.key, site, key)}
    taken: dict[str, tuple[str, int]] = {CONTROLLER: ("labkit's controller", 0), INTERNET_NAME: ("the Internet", 0)}
    handles: dict[str, tuple[str, int]] = {}
    for each in sorted(declared, key=lambda d: draft.line(d.path)):
        if each.made_of is None:
            _check_name(draft, each)
        mine = (each.owner, draft.line(each.path))
        other = taken.setdefault(each.name.casefold(), mine)
        if other[0] != each.owner:
            _clash(draft, each, other)
        elif "/" not in each.name and (twin := handles.setdefault(handle(each.name).casefold(), mine)) != mine:
            _same_handle(draft, each, twin)
        names.nouns.setdefault(each.name, each.noun)
    if draft.file[INTERNET] is not None or draft.broken((INTERNET_NAME,)):
        names.nouns.setdefault(INTERNET_NAME, INTERNET_NOUN)
    _check_variant_names(draft)
    return names


def _clash(draft: Draft, declared: Declared, other: tuple[str, int]) -> None:
    owner, line = other
    name, path = declared.name, declared.path
    if not line:
        text = f"{declared.noun} {name}: the name is reserved for {owner}."
        draft.error(path, text, "Use another name.")
    elif declared.made_of is None:
        text = f'{declared.noun} {name}: "{name}" is already the name of {owner} (line {line}).'
        draft.error(path, text, "Every object has a name of its own, and Azure ignores case: rename one.")
    else:
        text = f'"{name}", {declared.owner}, is already the name of {owner} (line {line}).'
        draft.error(path, text, "labkit makes that name: rename one of the two.")


def _same_handle(draft: Draft, declared: Declared, other: tuple[str, int]) -> None:
    owner, line = other
    text = f"{declared.owner}: its handle is {handle(declared.name)}, as that of {owner} (line {line})."
    draft.error(declared.path, text, "labkit makes handles of names (docs/names.md): rename one of the two.")


def _check_name(draft: Draft, declared: Declared) -> None:
    name, noun, path = declared.name, declared.noun, declared.path
    if not is_valid(name, noun.lengths):
        draft.error(path, *invalid_name(f"{noun} {name}", name, noun.lengths))
    elif name.casefold() in _NEXT_HOP_TYPES and noun.traits & Trait.NEXT_HOP:
        draft.error(path, f"{noun} {name}: {name} is a next hop type of route tables.", "Use another name.")
    elif address_of(name) is not None:
        draft.error(path, f"{noun} {name}: a name that is an address can't be told from one.", "Use another name.")


def _check_lab_name(draft: Draft) -> None:
    name = draft.file.name
    if not re.fullmatch(OWN_NAME, name):
        text = f'name: "{name}" is not a valid lab name.'
        draft.error(("name",), text, "Use letters, digits and hyphens, such as my-lab.")
    elif len(name) > MAX_LAB_NAME:
        text = f"name: {name} has {len(name)} characters; at most {MAX_LAB_NAME} are allowed."
        draft.error(("name",), text, "Its containers are called clab-<lab>-<node>: shorten it.")


def _check_variant_names(draft: Draft) -> None:
    for name in draft.names(VARIANTS):
        if not re.fullmatch(OWN_NAME, name):
            text = f'variant {name}: "{name}" is not a valid variant name.'
            draft.error((VARIANTS, name), text, "Use letters, digits and hyphens, such as active-passive.")
        elif len(name) > MAX_VARIANT_NAME:
            text = f"variant {name}: the name has {len(name)} characters; at most {MAX_VARIANT_NAME} are allowed."
            draft.error((VARIANTS, name), text, "It is typed in commands and shown in tables: shorten it.")


# Ranges.


def _check_ranges(draft: Draft, ranges: Iterable[Range]) -> None:
    """Notes ranges that nobody may use, or that overlap: of those that must move, each once."""
    outside = sorted((each for each in ranges if not each.azure), key=lambda each: each.yields)
    wrong = {each.path for each in outside if _has_no_hosts(draft, each)}
    for one, other in _overlaps([*outside, *(each for each in ranges if each.azure)]):
        if {one.path, other.path} & wrong or one.azure:
            continue
        if other.azure:
            _overlap_with_network(draft, one, other)
        else:
            wrong.add(other.path)
            text = f"{other.what}: {other.prefix} overlaps {one.prefix} of {one.what}."
            remedy = "Each needs a range of its own: move one of them."
            if one.shared and one.path[:2] == other.path[:2]:
                wider = max(one.prefix, other.prefix, key=lambda prefix: prefix.num_addresses)
                remedy = f"Each needs a range of its own: move one of them, or announce {wider} by advertises."
            draft.error(other.path, text, remedy)


def _has_no_hosts(draft: Draft, item: Range) -> bool:
    """Whether nobody can have all of a range; that is noted."""
    bad = _hostless(item)
    if item.prefix.prefixlen == 0:
        text = f"{item.what}: {item.prefix} is a default route, and no range of hosts."
        draft.error(
            item.path,
            text,
            "Give it a range of its own. A default route is what it may announce: advertises: [0.0.0.0/0].",
        )
    elif bad:
        text = f"{item.what}: hosts can't have addresses in {listed(map(str, bad))}."
        draft.error(item.path, text, "Use another range.")
    return bool(bad)


def _hostless(item: Range) -> list[IPv4Network]:
    return [] if item.azure else [n for n in _NOT_HOSTS if n.overlaps(item.prefix)]


def _overlaps(ranges: Sequence[Range]) -> Iterator[tuple[Range, Range]]:
    """Pairs of ranges that overlap and should not, each in the order of `ranges`.

    Two sites may have the same range, as anycast and dual-homed data centres do: there may be thousands of such pairs.
    """
    # Of two prefixes that overlap, one contains the other. Those around the one in hand, by the site that shares them,
    # and under () what is nobody's to share.
    around: dict[Path, list[tuple[int, Range]]] = {}
    found: list[tuple[int, int]] = []
    for number, each in sorted(enumerate(ranges), key=lambda pair: (pair[1].prefix, pair[0])):
        sharer = each.path[:2] if each.shared else ()
        for site in [*around] if not sharer else [(), sharer]:
            others = around.get(site, [])
            while others and each.prefix.network_address not in others[-1][1].prefix:
                others.pop()
            if not others:
                around.pop(site, None)
            found += ((min(number, other), max(number, other)) for other, _ in others)
        around.setdefault(sharer, []).append((number, each))
    return ((ranges[one], ranges[other]) for one, other in sorted(found))


def _overlap_with_network(draft: Draft, ours: Range, theirs: Range) -> None:
    text = f"{ours.what}: {ours.prefix} overlaps {theirs.prefix} of {theirs.what}."
    if ours.shared:
        # Possible in Azure too, and a lesson: routes into a virtual network's own range never get into NICs.
        draft.warn(ours.path, text, "Azure's packets to what is in both stay in the virtual network. Move one of them.")
    else:
        draft.error(ours.path, text, "It could not be reached from there: move one of them.")


# Addresses.


def _check_given(draft: Draft, addresses: Iterable[Given]) -> None:
    """Notes given addresses that can't be, and those given twice."""
    taken: dict[IPv4Address, Given] = {}
    for given in sorted(addresses, key=lambda each: draft.line(each.path)):
        _check_within(draft, given)
        other = taken.setdefault(given.address, given)
        if other is not given:
            first = f"{other.whose} (line {draft.line(other.path)})"
            text = f"{given.whose}: address {given.address} is also given to {first}."
            draft.error(given.path, text, "Change one, or omit one: labkit chooses a free one.")


def _check_within(draft: Draft, given: Given) -> None:
    prefix, address = given.within, given.address
    if prefix is None or (given.azure and prefix.prefixlen > SUBNET_LONGEST):
        return
    if address not in prefix:
        text = f"{given.whose}: address {address} lies outside {given.where} ({prefix})."
        draft.error(given.path, text, f"Use an address of {prefix}, or omit it.")
    elif given.azure and not is_usable(prefix, address):
        reserved = reserved_addresses(prefix)
        text = f"{given.whose}: address {address} is reserved in {given.where} ({prefix})."
        remedy = f"Azure keeps the first four and the last. Use {reserved[3] + 1} to {reserved[-1] - 1}."
        draft.error(given.path, text, remedy)
    elif prefix.prefixlen < 31 and address in {prefix.network_address, prefix.broadcast_address}:
        text = f"{given.whose}: address {address} is the first or the last of {given.where} ({prefix})."
        draft.error(given.path, text, "No host can have it. Use one in between.")


def _check_macs(draft: Draft, macs: Iterable[GivenMac]) -> None:
    """Notes MAC addresses that can't be, and those given twice."""
    taken: dict[str, str] = {}
    for given in macs:
        about = draft.subject(given.path)[0]
        other = taken.setdefault(given.mac, about)
        if other != about:
            text = f"{about}: MAC address {given.mac} is also given to {other}."
            draft.error(given.path, text, "Change one, or omit one: labkit derives it from the name.")
        elif given.mac == FABRIC_MAC:
            text = f"{about}: MAC address {given.mac} is Azure's own, which answers every ARP question."
            draft.error(given.path, text, "Use another, or omit it: labkit derives one from the name.")


# Azure.


def _check_azure(draft: Draft, azure: Azure) -> None:
    """Notes what Azure would refuse, or accept although it does not work, as far as the sound part shows it.

    Problems of other codes are what a lab file can't have, or what a kind sees in the file itself.
    """
    seen: set[Path] = set()
    for problem in problems(azure):
        refusal = _REFUSALS.get(problem.code)
        if refusal is not None and not refusal.follows(draft, problem):
            path, about = refusal.place(draft, problem)
            if path not in seen:
                seen.add(path)
                draft.error(path, f"{about}{problem.text}.", _remedy(refusal, draft, problem))
    for problem in warnings(azure):
        refusal = _REFUSALS[problem.code]
        if not refusal.follows(draft, problem):
            path, about = refusal.place(draft, problem)
            draft.warn(path, f"{about}{problem.text}.", _remedy(refusal, draft, problem))


def _remedy(refusal: AzureRefusal, draft: Draft, problem: Problem) -> str:
    remedy = refusal.remedy
    return remedy.format(*problem.subjects) if isinstance(remedy, str) else remedy(draft, problem)
