"""Azure Firewall."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network

from labkit.azure.model.instances import InstanceId


class RuleAction(StrEnum):
    """What a rule does with the flows that it matches."""

    ALLOW = "Allow"
    DENY = "Deny"


class RuleProtocol(StrEnum):
    """A protocol that a network rule names; without any it matches all ("Any")."""

    TCP = "TCP"
    UDP = "UDP"
    ICMP = "ICMP"


@dataclass(frozen=True, slots=True)
class FirewallRule:
    """A network rule: it matches a flow by addresses, protocol and destination port, where it names some.

    `destination_ports` are as Azure has them: `22`, `8000-8080`.
    """

    action: RuleAction
    source_addresses: tuple[IPv4Network, ...] = ()
    destination_addresses: tuple[IPv4Network, ...] = ()
    protocols: tuple[RuleProtocol, ...] = ()
    destination_ports: tuple[str, ...] = ()

    @property
    def port_ranges(self) -> tuple[tuple[int, int], ...]:
        """The first and last port of each range.

        Raises:
            ValueError: one is not a port or a range of ports.
        """
        return tuple(
            (int(first), int(last or first)) for first, _, last in (p.partition("-") for p in self.destination_ports)
        )

    def __str__(self) -> str:
        """The rule in a line."""
        source = ", ".join(map(str, self.source_addresses)) or "any"
        destination = ", ".join(map(str, self.destination_addresses)) or "any"
        return f"{self.action} {source} → {destination}: {self.service}"

    @property
    def service(self) -> str:
        """Its protocols and ports in a few words."""
        protocols = "/".join(self.protocols)
        return " ".join(filter(None, (protocols or ("port" if self.destination_ports else "any"), self._ports)))

    @property
    def _ports(self) -> str:
        return ",".join(self.destination_ports)


@dataclass(frozen=True, slots=True)
class Firewall:
    """An Azure Firewall in its virtual network's AzureFirewallSubnet.

    The load balancer of the same name has its private IP address, the next hop of routes; behind it are the NICs of its
    instances. The first of its `rules` that matches a flow decides; what none matches is denied.
    """

    name: str
    virtual_network: str
    rules: tuple[FirewallRule, ...] = ()

    @property
    def instance_ids(self) -> tuple[InstanceId, InstanceId]:
        """Its instances. Azure has at least two."""
        return InstanceId(self.name, 0), InstanceId(self.name, 1)
