"""The routing tables of a machine with several NICs: the primary NIC's routes are in the main table.

A packet follows the table of the NIC whose address it has as its source, by a policy rule for each further NIC. What
has no address yet, and what has the primary NIC's, follows the main table. Linux distributions set a virtual machine
of Azure up like this (cloud-init, azure-vm-utils): without the rules, answers of a further NIC would leave by the
primary one, and Azure drops what does not have the NIC's own address.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from labkit.azure.model import Nic

RT_TABLE_MAIN = 254

_FURTHER = 100

RULE_PROTOCOL = 66
"""The mark of our policy rules, so that they can be replaced as a whole; agents' routes have 65."""


def nic_table(number: int) -> int:
    """The routing table of a machine's NIC; `number` is its place among the machine's NICs, 0 for the primary one."""
    return _FURTHER + number if number else RT_TABLE_MAIN


def nic_rules(nics: Sequence[Nic]) -> Iterator[str]:
    """The commands that make a machine's policy rules; right as well when run again. None for a single NIC."""
    if len(nics) > 1:
        yield f"ip rule flush protocol {RULE_PROTOCOL}"
    for number, nic in enumerate(nics[1:], 1):
        table = nic_table(number)
        yield f"ip rule add priority {table} from {nic.address} lookup {table} protocol {RULE_PROTOCOL}"
