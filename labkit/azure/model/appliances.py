"""What appliances advertise by BGP: the prefixes that they originate, and their export policy."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model.bgp import Origin


@dataclass(frozen=True, slots=True)
class PrefixMatch:
    """A prefix, exactly; with `or_longer` the more specific ones that it covers as well."""

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

    prepend: int = 0
    communities: tuple[tuple[int, int], ...] = ()
    next_hop: IPv4Address | None = None
    next_hop_unchanged: bool = False
    as_override: bool = False
    strip: tuple[int, ...] = ()
    med: int | None = None
    origin: Origin | None = None


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

    to: tuple[str, ...] | None = None
    prefixes: tuple[PrefixMatch, ...] = ()
    communities: tuple[tuple[int, int], ...] = ()
    as_paths: tuple[AsPathMatch, ...] = ()
    deny: bool = False
    changes: PathChanges = field(default=PathChanges())

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
