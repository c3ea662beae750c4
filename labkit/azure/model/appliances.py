"""What appliances advertise by BGP: the prefixes that they originate, and their export policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar, TypedDict

from labkit.azure.model.bgp import Origin


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


class _JsonForm(TypedDict):
    alias_generator: Callable[[str], str]
    extra: str


_JSON: _JsonForm = {"alias_generator": _camel_case, "extra": "forbid"}
"""How changes, which pydantic reads, have these values as JSON: as they have their own fields."""


@dataclass(frozen=True, slots=True)
class PrefixMatch:
    """A prefix, exactly; with `or_longer` the more specific ones that it covers as well."""

    __pydantic_config__: ClassVar[_JsonForm] = _JSON
    prefix: IPv4Network
    or_longer: bool = False

    def __str__(self) -> str:
        return f"{self.prefix} or longer" if self.or_longer else str(self.prefix)


@dataclass(frozen=True, slots=True)
class AsPathMatch:
    """AS paths in which these ASNs follow one another.

    `from_start`: the first of them is the nearest AS. `to_end`: the last of them originated the route. Without ASNs and
    with both: the empty path, of a route that the speaker originates itself.
    """

    __pydantic_config__: ClassVar[_JsonForm] = _JSON
    asns: tuple[int, ...] = ()
    from_start: bool = False
    to_end: bool = False

    def __str__(self) -> str:
        """The regular expression of Cisco and FRR: `_65010_`, `^65001_65010$`, `^$`."""
        start, end = ("^" if self.from_start else "_"), ("$" if self.to_end else "_")
        return f"{start}{'_'.join(map(str, self.asns))}{end}"


@dataclass(frozen=True, slots=True)
class PathChanges:
    """What an export rule makes of a path's attributes. The speaker's own ASN comes in front of the path afterwards.

    Attributes:
        prepend: times that the own ASN is put in front beyond the usual one.
        communities: added to those that the path has.
        next_hop: in place of the speaker's own address.
        next_hop_unchanged: the next hop stays as it was received.
        as_override: the own ASN takes the place of the receiver's in the path.
        strip: ASNs that are removed from the path.
        med: the MULTI_EXIT_DISC; None leaves what the speaker would send.
        origin: the ORIGIN; None leaves it.
    """

    __pydantic_config__: ClassVar[_JsonForm] = _JSON
    prepend: int = 0
    communities: tuple[tuple[int, int], ...] = ()
    next_hop: IPv4Address | None = None
    next_hop_unchanged: bool = False
    as_override: bool = False
    strip: tuple[int, ...] = ()
    med: int | None = None
    origin: Origin | None = None

    def __str__(self) -> str:
        """The changes as a lab file has them."""
        next_hop = "unchanged" if self.next_hop_unchanged else self.next_hop
        parts = [
            *_item("prepend", [self.prepend] if self.prepend else ()),
            *_item("communities", map(_community, self.communities)),
            *_item("next_hop", [next_hop] if next_hop is not None else ()),
            *(["as_override: true"] if self.as_override else []),
            *_item("strip", self.strip),
            *_item("med", [self.med] if self.med is not None else ()),
            *_item("origin", [self.origin] if self.origin is not None else ()),
        ]
        return f"{{{', '.join(parts)}}}"


@dataclass(frozen=True, slots=True)
class ExportRule:
    """A rule of an export policy. Of a speaker's rules, the first that matches receiver and path decides.

    A path has to meet every condition that is given, and of several values of one condition any. What no rule matches
    is advertised unchanged.

    Attributes:
        to: the receivers by the names of their objects: route servers, NVAs, gateways, circuits, sites; None: all.
        prefixes, communities, as_paths: conditions; empty ones are met by every path.
        deny: the path is not advertised.
        changes: what becomes of a path that is.
    """

    __pydantic_config__: ClassVar[_JsonForm] = _JSON
    to: tuple[str, ...] | None = None
    prefixes: tuple[PrefixMatch, ...] = ()
    communities: tuple[tuple[int, int], ...] = ()
    as_paths: tuple[AsPathMatch, ...] = ()
    deny: bool = False
    changes: PathChanges = field(default=PathChanges())

    def __str__(self) -> str:
        """The rule as a lab file has it."""
        parts = [
            *(_item("to", self.to or ()) if self.to != () else ["to: []"]),
            *_item("prefix", self.prefixes),
            *_item("community", map(_community, self.communities)),
            *_item("as_path", self.as_paths),
            *(["deny: true"] if self.deny else []),
            *([f"set: {self.changes}"] if self.changes != PathChanges() else []),
        ]
        return f"{{{', '.join(parts)}}}"

    @property
    def is_for_all_paths(self) -> bool:
        """Whether it decides for every path to its receivers, so that no later rule does."""
        return not (self.prefixes or self.communities or self.as_paths)


@dataclass(frozen=True, slots=True)
class Appliance:
    """An NVA as a BGP speaker, as far as its operator changes that while it runs.

    `advertises` are the prefixes that it originates, `exports` is its export policy. Azure knows of both only what
    arrives.
    """

    name: str
    advertises: tuple[IPv4Network, ...] = ()
    exports: tuple[ExportRule, ...] = ()


def _community(community: tuple[int, int]) -> str:
    return "{}:{}".format(*community)


def _item(key: str, values: Iterable[object]) -> Iterator[str]:
    """`key: value` for one value, `key: [value, ...]` for several, nothing for none."""
    texts = [*map(str, values)]
    if texts:
        yield f"{key}: {texts[0]}" if len(texts) == 1 else f"{key}: [{', '.join(texts)}]"
