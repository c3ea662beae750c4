"""What an Azure Firewall lets through, and what it translates [firewall-rules, firewall-snat]."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import Azure, Firewall, FirewallRule, RuleAction, RuleProtocol
from labkit.azure.model.problem import Code, Problem
from labkit.azure.rules.addressing import FIREWALL_SUBNET, FIREWALL_SUBNET_LONGEST

PRIVATE = tuple(IPv4Network(n) for n in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16"))
"""What a firewall does not translate by default: RFC 1918 and RFC 6598 [firewall-snat]."""

_NUMBERS = {RuleProtocol.TCP: 6, RuleProtocol.UDP: 17, RuleProtocol.ICMP: 1}
_WITH_PORTS = (6, 17)
_LAST_PORT = 65535


def decides(
    rules: Iterable[FirewallRule], source: IPv4Address, destination: IPv4Address, protocol: int, port: int | None
) -> RuleAction:
    """What becomes of a new flow: the first rule that matches it decides; none denies it [firewall-rules].

    `protocol` is IP's number, `port` the destination's; None without ports.
    """
    for rule in _between(rules, source, destination):
        if rule.protocols and protocol not in {_NUMBERS[each] for each in rule.protocols}:
            continue
        ranges = rule.port_ranges
        has_port = protocol in _WITH_PORTS and port is not None
        if not ranges or (has_port and any(first <= port <= last for first, last in ranges if port is not None)):
            return rule.action
    return RuleAction.DENY


def admitted(rules: Iterable[FirewallRule], source: IPv4Address, destination: IPv4Address) -> tuple[FirewallRule, ...]:
    """The rules that decide about flows from an address to another, without those that never get to: see `decides`."""
    found: list[FirewallRule] = []
    for rule in _between(rules, source, destination):
        found.append(rule)
        if not rule.protocols and not rule.destination_ports:
            break
    while found and found[-1].action is RuleAction.DENY:  # as is whatever no rule matches
        found.pop()
    return tuple(found)


def services(rules: Iterable[FirewallRule]) -> str:
    """What `admitted` rules let through in a few words, such as `TCP 22`; empty for everything."""
    parts = [rule.service if rule.action is RuleAction.ALLOW else f"no {rule.service}" for rule in rules]
    return "" if parts == ["any"] else "; ".join(parts)


def translates(destination: IPv4Address) -> bool:
    """Whether what a firewall forwards to an address gets the address of its instance [firewall-snat]."""
    return not any(destination in prefix for prefix in PRIVATE)


def rule_mark(number: int, rule: FirewallRule) -> str:
    """By what a rule is known in the kernel of an instance: its place, from 1, and a sum of all that it is."""
    return f"rule {number} {zlib.crc32(json.dumps([str(rule)]).encode()):08x}"


def firewall_problems(azure: Azure) -> Iterator[Problem]:
    """What Azure refuses of firewalls [firewall-subnet]."""
    seen: dict[str, str] = {}
    for firewall in azure.firewalls:
        network = firewall.virtual_network
        first = seen.setdefault(network, firewall.name)
        if first != firewall.name:
            text = f"virtual network {network} already has a firewall, {first}"
            yield Problem(Code.FIREWALL_SECOND, text, (firewall.name, network))
        subnet = next((s for s in azure.virtual_network[network].subnets if s.name == FIREWALL_SUBNET), None)
        if subnet is None:
            text = f"virtual network {network} has no {FIREWALL_SUBNET} for firewall {firewall.name}"
            yield Problem(Code.FIREWALL_SUBNET, text, (firewall.name, network))
        elif subnet.prefix.prefixlen > FIREWALL_SUBNET_LONGEST:
            text = f"{FIREWALL_SUBNET} {subnet.prefix} of {network} is smaller than a /{FIREWALL_SUBNET_LONGEST}"
            yield Problem(Code.FIREWALL_SUBNET_SIZE, text, (firewall.name, network))
        yield from _rule_problems(firewall)


def _rule_problems(firewall: Firewall) -> Iterator[Problem]:
    for number, rule in enumerate(firewall.rules, 1):
        if rule.destination_ports and RuleProtocol.ICMP in rule.protocols:
            text = f"rule {number} of firewall {firewall.name} names ports, and ICMP has none"
            yield Problem(Code.FIREWALL_RULE, text, (firewall.name, str(number)))
        for port in rule.destination_ports:
            if not _is_range(port):
                text = f'rule {number} of firewall {firewall.name}: "{port}" is neither a port nor a range of ports'
                yield Problem(Code.FIREWALL_PORT, text, (firewall.name, str(number)))


def _is_range(text: str) -> bool:
    first, dash, last = text.partition("-")
    if not (first.isascii() and first.isdecimal() and (not dash or (last.isascii() and last.isdecimal()))):
        return False
    # Python reads no number of some thousand digits.
    return len(text) <= len(f"{_LAST_PORT}-{_LAST_PORT}") and 0 < int(first) <= int(last or first) <= _LAST_PORT


def _between(rules: Iterable[FirewallRule], source: IPv4Address, destination: IPv4Address) -> Iterator[FirewallRule]:
    for rule in rules:
        sides = ((source, rule.source_addresses), (destination, rule.destination_addresses))
        if all(not prefixes or any(address in prefix for prefix in prefixes) for address, prefixes in sides):
            yield rule
