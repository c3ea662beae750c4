"""MAC addresses."""

from __future__ import annotations

import hashlib
from collections.abc import Container

FABRIC_MAC = "12:34:56:78:9a:bc"
"""What answers every ARP request in a virtual network [arp-answer]."""

MAC_PREFIX = "00:0d:3a"
"""Microsoft's own, as on Azure NICs."""


def derive_mac(node: str, interface: str, taken: Container[str] = ()) -> str:
    """The MAC address of a node's interface: a hash of both names, another one while it is in `taken`."""
    attempt = 0
    while True:
        digest = hashlib.sha256(f"{node}/{interface}/{attempt}".encode()).hexdigest()
        mac = f"{MAC_PREFIX}:{digest[0:2]}:{digest[2:4]}:{digest[4:6]}"
        if mac not in taken:
            return mac
        attempt += 1
