"""Changes of what NVAs advertise. Azure has no part in them: an operator makes them in the appliance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from typing import ClassVar

from labkit.azure.changes.base import UNCHANGED, Change, named
from labkit.azure.model import Appliance, Azure, ExportRule, PathChanges
from labkit.azure.rules.asn import MAX_ASN
from labkit.errors import InvalidInput
from labkit.names import meant

MOST_PREPENDS = 10
MOST_RULES = 100


class _OfAppliance(Change):
    """A change of what an NVA advertises."""

    __slots__ = ()
    kind: ClassVar[str] = "nva"
    nva: str

    @property
    def subject(self) -> str:
        """See `Change`."""
        return self.nva


@dataclass(frozen=True, slots=True)
class SetAdvertisedPrefixes(_OfAppliance):
    """Set the prefixes that an NVA originates."""

    nva: str
    prefixes: tuple[IPv4Network, ...]

    @property
    def part(self) -> str:
        """See `Change`."""
        return "advertised prefixes"

    def apply(self, azure: Azure) -> Azure:
        """See `Change`."""
        before = appliance_of(azure, self.nva)
        return with_appliance(azure, replace(before, advertises=tuple(dict.fromkeys(self.prefixes))))

    def describe(self, azure: Azure) -> str:
        """See `Change`."""
        before = appliance_of(azure, self.nva).advertises
        came = [str(prefix) for prefix in dict.fromkeys(self.prefixes) if prefix not in before]
        went = [str(prefix) for prefix in before if prefix not in self.prefixes]
        found = [f"advertises {', '.join(came)}"] if came else []
        found += [f"withdraws {', '.join(went)}"] if went else []
        return "; ".join(found) or UNCHANGED


@dataclass(frozen=True, slots=True)
class SetExportPolicy(_OfAppliance):
    """Set the export policy of an NVA: all of its rules, in their order.

    A rule is an object with any of `to`, `prefixes` (each `prefix` and `orLonger`), `communities`, `asPaths` (each
    `asns`, `fromStart` and `toEnd`), `deny` and `changes` (`prepend`, `communities`, `nextHop`, `nextHopUnchanged`,
    `asOverride`, `strip`, `med`, `origin`).
    """

    nva: str
    exports: tuple[ExportRule, ...]

    @property
    def part(self) -> str:
        """See `Change`."""
        return "export policy"

    def apply(self, azure: Azure) -> Azure:
        """See `Change`."""
        before = appliance_of(azure, self.nva)
        for wrong in _mistakes(self.exports):
            raise InvalidInput(f"export policy of {self.nva}: {wrong}.", "See its rules: labkit schema")
        return with_appliance(azure, replace(before, exports=self.exports))

    def describe(self, azure: Azure) -> str:
        """See `Change`."""
        if appliance_of(azure, self.nva).exports == self.exports:
            return UNCHANGED
        return f"export policy: {' '.join(map(str, self.exports)) or 'no rule'}"


def appliance_of(azure: Azure, name: str) -> Appliance:
    """The NVA with BGP that is meant by `name`.

    Raises:
        InvalidInput: there is none.
    """
    known = meant(name, azure.appliance) or name
    named("NVA with BGP", known, azure.appliance, lambda names: f"The lab's NVAs with BGP: {names}.")
    return azure.appliance[known]


def with_appliance(azure: Azure, appliance: Appliance) -> Azure:
    """The model with this appliance in place of the one of its name."""
    return replace(azure, appliances=tuple(appliance if a.name == appliance.name else a for a in azure.appliances))


def _mistakes(exports: tuple[ExportRule, ...]) -> Iterator[str]:
    """What no daemon could be configured with."""
    if len(exports) > MOST_RULES:
        yield f"{len(exports)} rules; at most {MOST_RULES} are allowed"
    for number, rule in enumerate(exports, 1):
        changes, about = rule.changes, f"rule {number}"
        asns = (*changes.strip, *(asn for match in rule.as_paths for asn in match.asns))
        if rule.to == ():
            yield f"{about}: to is empty, so that it is for nobody"
        if rule.deny and changes != PathChanges():
            yield f"{about}: what it denies it can't change"
        if changes.as_override and changes.strip:
            yield f"{about}: as_override replaces an ASN, strip removes it"
        if not 0 <= changes.prepend <= MOST_PREPENDS:
            yield f"{about}: prepend {changes.prepend} is not between 0 and {MOST_PREPENDS}"
        if any(not 0 < asn <= MAX_ASN for asn in asns):
            yield f"{about}: an ASN lies between 1 and {MAX_ASN}"
        if changes.med is not None and not 0 <= changes.med < 1 << 32:
            yield f"{about}: a MED lies between 0 and {(1 << 32) - 1}"
        if any(not 0 <= half <= 0xFFFF for pair in (*rule.communities, *changes.communities) for half in pair):
            yield f"{about}: a community has two numbers up to 65535"
        if any(not (match.asns or (match.from_start and match.to_end)) for match in rule.as_paths):
            yield f"{about}: as_paths has a match without ASNs"
