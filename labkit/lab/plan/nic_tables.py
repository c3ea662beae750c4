"""The routing tables of a machine with several NICs.

Each NIC's effective routes are in a table of its own. A packet with a NIC's address as its source follows that NIC's
table, by a policy rule [several-nics]: answers leave by the NIC that was asked, and Azure drops what does not have the
NIC's own address. What has no address yet follows the main table: the primary NIC's effective routes, and the kernel's
own to the subnets of all NICs. With one NIC there is the main table only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from labkit.azure.model import Nic

RT_TABLE_MAIN = 254

_FIRST = 100

RULE_PROTOCOL = 66
"""The mark of our policy rules, so that they can be replaced as a whole; agents' routes have 65."""


def nic_table(number: int) -> int:
    """The routing table of a NIC of a machine with several; `number` is its place among them, from 0."""
    return _FIRST + number


def nic_rules(nics: Sequence[Nic]) -> Iterator[str]:
    """The commands that make a machine's policy rules; right as well when run again. None for a single NIC."""
    if len(nics) > 1:
        yield f"ip rule flush protocol {RULE_PROTOCOL}"
        for number, nic in enumerate(nics):
            table = nic_table(number)
            yield f"ip rule add priority {table} from {nic.address} lookup {table} protocol {RULE_PROTOCOL}"
