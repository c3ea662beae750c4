"""Changes of Azure Firewalls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from labkit.azure.changes.base import UNCHANGED, Change, named, step
from labkit.azure.model import Azure, Firewall, FirewallRule

_FEW = 2
"""So many rules that come or go are named."""


@dataclass(frozen=True, slots=True)
class SetFirewallRules(Change):
    """Give a firewall other network rules, all of them, in their order [firewall-rules]."""

    kind: ClassVar[str] = "firewall"
    firewall: str
    rules: tuple[FirewallRule, ...]

    @property
    def subject(self) -> str:
        """See `Change`."""
        return self.firewall

    @property
    def part(self) -> str:
        """See `Change`."""
        return "rules"

    def apply(self, azure: Azure) -> Azure:
        """See `Change`."""
        before = self._before(azure)
        after = replace(before, rules=self.rules)
        return replace(azure, firewalls=tuple(after if each == before else each for each in azure.firewalls))

    def describe(self, azure: Azure) -> str:
        """See `Change`."""
        before = self._before(azure).rules
        gone = [f"without rule {i}, {rule}" for i, rule in enumerate(before, 1) if rule not in self.rules]
        new = [f"rule {i}: {rule}" for i, rule in enumerate(self.rules, 1) if rule not in before]
        if len(gone) + len(new) > _FEW:
            return step(*(f"{len(rules)} rule{'s' * (len(rules) != 1)}" for rules in (before, self.rules)))
        moved = ["rules in another order"] if not gone and not new and before != self.rules else []
        return "; ".join((*gone, *new, *moved)) or UNCHANGED

    def _before(self, azure: Azure) -> Firewall:
        named("firewall", self.firewall, azure.firewall)
        return azure.firewall[self.firewall]
