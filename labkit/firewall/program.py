"""The nftables table of a firewall's instance. Pure.

The first packet of a flow decides by the rules, and so does every later one in its direction: a rule that comes to deny
what was allowed ends flows that there are, too [firewall-rules]. Answers belong to a flow that was let through. ICMP
errors pass: the two directions of what causes them may meet different instances.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, collapse_addresses

from labkit.azure.model import FirewallRule, RuleAction
from labkit.azure.rules.firewalls import rule_mark

TABLE = "network_rules"
"""The table's name in family `inet`; `labkit.lab.kinds.firewall` has the node drop what has not got its mark."""

_PASS = "meta mark set 1 accept"  # noqa: S105 - no password

_WITH_PORTS = ("tcp", "udp")


def table(rules: Sequence[FirewallRule]) -> Iterator[str]:
    """The lines that replace the table, for `nft -f`.

    Raises:
        ValueError: a rule names a port that is not one.
    """
    yield f"table inet {TABLE} {{}}"
    yield f"delete table inet {TABLE}"
    yield f"table inet {TABLE} {{"
    yield "chain policies {"
    yield from (_rule(number, rule) for number, rule in enumerate(rules, 1))
    yield "drop"
    yield "}"
    yield "chain forward {"
    yield "type filter hook forward priority filter - 1; policy drop;"
    yield f"icmp type {{ destination-unreachable, time-exceeded, parameter-problem }} {_PASS}"
    yield "ct state invalid drop"
    yield f"ct direction reply {_PASS}"
    yield "ct state new tcp flags & (fin | syn | rst | ack) != syn drop"
    yield "jump policies"
    yield "}"
    yield "}"


def _rule(number: int, rule: FirewallRule) -> str:
    protocols = [each.lower() for each in rule.protocols]
    if rule.destination_ports and not protocols:
        protocols = [*_WITH_PORTS]
    verdict = _PASS if rule.action is RuleAction.ALLOW else "drop"
    parts = (
        _addresses("saddr", rule.source_addresses),
        _addresses("daddr", rule.destination_addresses),
        f"meta l4proto {{ {', '.join(protocols)} }}" if protocols else "",
        f"th dport {{ {', '.join(_ports(rule))} }}" if rule.destination_ports else "",
        f'{verdict} comment "{rule_mark(number, rule)}"',
    )
    return " ".join(filter(None, parts))


def _addresses(side: str, prefixes: Sequence[IPv4Network]) -> str:
    # nft refuses prefixes that overlap in one set.
    return f"ip {side} {{ {', '.join(map(str, collapse_addresses(prefixes)))} }}" if prefixes else ""


def _ports(rule: FirewallRule) -> Iterator[str]:
    last = 0
    for first, end in sorted(rule.port_ranges):
        start = max(first, last + 1)
        if start <= end:
            yield f"{start}-{end}" if start < end else str(start)
            last = end
