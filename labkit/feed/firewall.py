"""What the instances of an Azure Firewall receive: its rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from labkit.azure.model import FirewallRule
from labkit.feed.channel import Applied, Channel
from labkit.feed.codec import Codec


@dataclass(frozen=True, slots=True)
class FirewallPolicy:
    """All rules of a firewall, in their order."""

    TYPE: ClassVar = "policy"
    rules: tuple[FirewallRule, ...]


FIREWALL: Channel[FirewallPolicy, Applied] = Channel("firewall", Codec(FirewallPolicy), Codec(Applied))
