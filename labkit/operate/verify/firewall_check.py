"""The rules of a firewall's instances as their kernels have them, against those that the firewall has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import zip_longest

from labkit.azure.rules.firewalls import rule_mark
from labkit.operate.look.live_state import LiveState
from labkit.operate.verify.difference import NOTHING, Difference

_LIST = ("nft", "-j", "list", "ruleset", "inet")

_GUARDS = ("chain guard", "chain translate", "chain forward")
"""What stays the same: nothing passes without the rules' mark, and what goes to public addresses is translated."""


def firewall_difference(node: str, live: LiveState) -> str | None:
    """The first difference between an instance's rules and its firewall's, None if there is none."""
    for found in firewall_differences(node, live):
        return f"{found.where}: {found.there}; expected: {found.model}. Look: {found.hint}"
    return None


def firewall_differences(node: str, live: LiveState) -> Iterator[Difference]:
    """Every difference between an instance's rules and its firewall's."""
    firewall = next(f for f in live.azure.firewalls if node in {i.node for i in f.instance_ids})
    known = {rule_mark(number, rule): f"rule {number}, {rule}" for number, rule in enumerate(firewall.rules, 1)}
    chains, there = _kernel(live, node)
    hint = f"labkit exec {node} -- nft list ruleset"
    for guard in _GUARDS:
        if guard not in chains:
            yield Difference(f"firewall {node}", "", guard, NOTHING, hint)
    for wanted, found in zip_longest((*known, _LAST), there):
        if wanted != found:
            model, kernels = (NOTHING if m is None else known.get(m, m) for m in (wanted, found))
            yield Difference(f"firewall {node}", "", model, kernels, hint)
            return  # those after a rule that is missing differ as well


_LAST = "a rule that drops the rest"


def _kernel(live: LiveState, node: str) -> tuple[set[str], list[str]]:
    """The chains with rules, and the marks of the rules in their order."""
    chains: set[str] = set()
    marks: list[str] = []
    for item in json.loads(live.output(node, *_LIST))["nftables"]:
        rule = item.get("rule")
        if rule is None:
            continue
        chains.add(f"chain {rule['chain']}")
        if rule["chain"] == "policies":
            unmarked = _LAST if rule["expr"] == [{"drop": None}] else "a rule without a mark"
            marks.append(rule.get("comment", unmarked))
    return chains, marks
