"""The routing tables of a machine with several NICs.

By itself a machine is as Azure's DHCP leaves it [several-nics]: its primary NIC alone has a default route, here with
that NIC's effective routes, and the kernel reaches the subnets of all its NICs. What has another NIC's address as its
source leaves by the primary one all the same, where Azure drops it unless IP forwarding is on.

With policy routing there is a table for each NIC: in a virtual machine with the NIC's effective routes, in an NVA with
a default route by the gateway of its subnet. A packet with a NIC's address as its source follows that NIC's table, by
a rule: answers leave by the NIC that was asked. What has no address yet follows the main table.
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
            for address in nic.addresses:
                yield f"ip rule add priority {table} from {address} lookup {table} protocol {RULE_PROTOCOL}"
