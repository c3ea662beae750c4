"""Which messages of the kernel make the agent look at its NIC again."""

from __future__ import annotations

import struct

import pytest

from labkit.agent.uplink import concerns

NEWLINK, DELLINK, NEWADDR, DELADDR, NEWROUTE = 16, 17, 20, 21, 24


def link(index: int, name: str) -> bytes:
    text = name.encode() + b"\0"
    padded = text + bytes(-len(text) % 4)
    return struct.pack("=BxHiII", 0, 1, index, 1, 0) + struct.pack("=HH", 4 + len(text), 3) + padded


def address(index: int) -> bytes:
    return struct.pack("=BBBBI", 2, 24, 0, 0, index)


@pytest.mark.parametrize(
    ("kind", "body", "index", "expected"),
    [
        (NEWLINK, link(7, "eth0"), None, True),
        (NEWLINK, link(8, "eth0"), 7, True),
        (DELLINK, link(7, "renamed"), 7, True),
        (NEWLINK, link(8, "eth1"), 7, False),
        (NEWLINK, link(8, "eth1"), None, False),
        (NEWADDR, address(7), 7, True),
        (DELADDR, address(7), 7, True),
        (NEWADDR, address(8), 7, False),
        (NEWROUTE, address(7), 7, False),
    ],
)
def test_what_concerns_the_nic(kind: int, body: bytes, index: int | None, expected: bool) -> None:
    assert concerns(kind, body, "eth0", index) is expected
