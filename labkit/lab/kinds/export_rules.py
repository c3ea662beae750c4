"""Export policies in the lab file: ordered rules, and the one-word options that are short for some."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic.json_schema import WithJsonSchema

from labkit.azure import model
from labkit.azure.model import AsPathMatch, Origin, PrefixMatch
from labkit.azure.rules.asn import MAX_ASN
from labkit.lab.file.references import Reference
from labkit.lab.file.schema_types import (
    Asn,
    Communities,
    NotEmpty,
    Part,
    References,
    mistake,
    one_or_more,
    parse_prefix,
)
from labkit.lab.file.yaml_source import Path
from labkit.lab.kinds.kind import Checking
from labkit.lab.kinds.next_hop import next_hop_address, refer_next_hop
from labkit.lab.kinds.nouns import CIRCUIT, CIRCUIT_OF_TWO, EDGE_ROUTER, GATEWAY, NVA, ROUTE_SERVER, SITE, SITE_ROUTER

NEXT_HOP_UNCHANGED = "unchanged"
SHORTHANDS = ("prepend", "as_override", "strip_route_server_asn", "communities", "next_hop")
"""The options of an NVA that are short for the last rules of its `exports`."""

PEERS = (ROUTE_SERVER, NVA, GATEWAY, CIRCUIT, CIRCUIT_OF_TWO, EDGE_ROUTER, SITE, SITE_ROUTER)
_OR_LONGER = " or longer"
_AS_PATH = re.compile(r"(?P<start>[_^])(?P<asns>\d+(_\d+)*)?(?P<end>[_$])")


def _parse_prefix_match(value: object) -> PrefixMatch:
    if isinstance(value, PrefixMatch):
        return value
    if isinstance(value, str) and value.endswith(_OR_LONGER):
        return PrefixMatch(parse_prefix(value.removesuffix(_OR_LONGER)), or_longer=True)
    return PrefixMatch(parse_prefix(value))


def _parse_as_path_match(value: object) -> AsPathMatch:
    """`_65010_`, `^65001_65010$` and the like, as in FRR; an ASN alone is anywhere in the path."""
    if isinstance(value, AsPathMatch):
        return value
    text = str(value)
    found = _AS_PATH.fullmatch(f"_{text}_" if text.isdecimal() else text)
    asns = tuple(map(int, found["asns"].split("_"))) if found and found["asns"] else ()
    if found is None or (not asns and text != "^$") or any(not 0 < asn <= MAX_ASN for asn in asns):
        raise mistake(
            f'"{text}" does not match AS paths',
            "Write an ASN, or ASNs with _ between: _65010_ (anywhere), ^65001_ (nearest), _65010$ (originating), ^$ "
            "(empty).",
        )
    return AsPathMatch(asns, found["start"] == "^", found["end"] == "$")


def _some(value: object) -> object:
    """A list, or one value in place of a list of it."""
    return [value] if isinstance(value, int) else one_or_more(value)


_PREFIX_MATCH = {"type": "string", "examples": ["10.1.0.0/16", "10.0.0.0/8 or longer"]}
_AS_PATH_MATCH = {"anyOf": [{"type": "string"}, {"type": "integer"}], "examples": ["_65010_", "^$"]}

PrefixMatches = Annotated[
    tuple[Annotated[PrefixMatch, BeforeValidator(_parse_prefix_match)], ...],
    BeforeValidator(one_or_more),
    WithJsonSchema({"anyOf": [_PREFIX_MATCH, {"type": "array", "items": _PREFIX_MATCH}]}),
]
AsPathMatches = Annotated[
    tuple[Annotated[AsPathMatch, BeforeValidator(_parse_as_path_match)], ...],
    BeforeValidator(_some),
    WithJsonSchema({"anyOf": [_AS_PATH_MATCH, {"type": "array", "items": _AS_PATH_MATCH}]}),
]


class PathChanges(Part):
    """What an export rule changes in the paths that it matches."""

    prepend: Annotated[int, Field(ge=0, le=10)] = 0
    """How many times more the router puts its own ASN into the path."""
    communities: Communities = ()
    """Communities that are added, such as no-advertise or 65001:100."""
    next_hop: Reference | None = None
    """Next hop: a machine, a NIC, a load balancer, an address, or `unchanged`. Default: the router's own address."""
    as_override: bool = False
    """True: in the path, the router's own ASN takes the place of the receiver's."""
    strip: Annotated[tuple[Asn, ...], BeforeValidator(_some)] = ()
    """ASNs that are removed from the path, such as 65515."""
    med: Annotated[int, Field(ge=0, lt=1 << 32)] | None = None
    """MULTI_EXIT_DISC."""
    origin: Origin | None = None
    """ORIGIN: igp, egp or incomplete."""


class ExportRule(Part):
    """A rule of an export policy: the first that matches decides. What none matches is advertised unchanged."""

    to: Annotated[References | None, NotEmpty] = None
    """Receivers by name: route servers, NVAs, gateways, circuits or sites. Default: all."""
    prefix: Annotated[PrefixMatches, NotEmpty] = ()
    """Prefixes: exactly these, or `10.0.0.0/8 or longer`. Default: any."""
    community: Annotated[Communities, NotEmpty] = ()
    """Communities of which the path has one. Default: any path."""
    as_path: Annotated[AsPathMatches, NotEmpty] = ()
    """ASNs in the path, as in FRR: _65010_ anywhere, ^65001_ nearest, _65010$ originating, ^$ own. Default: any."""
    deny: bool = False
    """True: what the rule matches is not advertised."""
    set: PathChanges = PathChanges()
    """What changes in the path."""

    @property
    def decides_always(self) -> bool:
        """Whether it decides for every path to every receiver."""
        return self.to is None and not (self.prefix or self.community or self.as_path)


def check_export_rules(checking: Checking, place: Path, rules: Iterable[ExportRule]) -> None:
    """Notes names in the rules at `place` that nothing has, and rules without effect."""
    draft, names = checking.draft, checking.names
    owner = draft.subject(place)[0]
    for number, rule in enumerate(rules):
        path: Path = (*place, number)
        about = f"{owner}: export rule {number + 1}"
        for name in rule.to or ():
            names.refer(draft, (*path, "to"), about, name, *PEERS, called="BGP peer")
        hop = rule.set.next_hop
        if hop is not None:
            place_of_hop = (*path, "set", "next_hop")
            refer_next_hop(checking, place_of_hop, f"{about}: next_hop", hop, (NEXT_HOP_UNCHANGED,))


def check_effect(checking: Checking, place: Path, owner: str, rules: Iterable[ExportRule]) -> None:
    """Notes rules that contradict themselves, or never decide."""
    draft, linked = checking.draft, checking.joined_to(owner, by_bgp=True)
    subject = draft.subject(place)[0]
    decided = False
    for number, rule in enumerate(rules):
        path, about = (*place, number), f"{subject}: export rule {number + 1}"
        if rule.deny and rule.set != PathChanges():
            draft.error(path, f"{about}: what it denies it can't change.", "Remove deny, or set.")
        if rule.set.as_override and rule.set.strip:
            text = f"{about}: as_override replaces an ASN, strip removes it."
            draft.error((*path, "set"), text, "Remove one of them.")
        for name in rule.to or ():
            if name not in linked and checking.is_sound(name, *PEERS):
                text = f"{about}: {owner} has no BGP session with {name}."
                draft.warn((*path, "to"), text, f"Connect them, or remove {name} from the rule.")
        if decided:
            text = f"{about} never decides: a rule before it decides for every path."
            draft.warn(path, text, "Move it to the front, or remove it.")
        decided |= rule.decides_always


def next_hop_set(hop: str | None, named: Mapping[str, IPv4Address]) -> tuple[IPv4Address | None, bool]:
    """The next hop that a rule sets, if any, and whether it leaves it unchanged; `named` as for `next_hop_address`."""
    unchanged = hop == NEXT_HOP_UNCHANGED
    return None if hop is None or unchanged else next_hop_address(hop, named), unchanged


def export_rules(rules: Iterable[ExportRule], named: Mapping[str, IPv4Address]) -> Iterator[model.ExportRule]:
    """The rules as values; `named` are the addresses of next hops by name."""
    for rule in rules:
        changes = rule.set
        address, unchanged = next_hop_set(changes.next_hop, named)
        yield model.ExportRule(
            rule.to,
            rule.prefix,
            rule.community,
            rule.as_path,
            rule.deny,
            model.PathChanges(
                changes.prepend,
                changes.communities,
                address,
                unchanged,
                changes.as_override,
                changes.strip,
                changes.med,
                changes.origin,
            ),
        )
