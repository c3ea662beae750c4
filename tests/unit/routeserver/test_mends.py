"""ExaBGP as labkit mends it, without a network: the OPEN of a lab's own configuration, and what it negotiates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from exabgp.bgp.message.message import Message
from exabgp.bgp.message.open import Open, Version
from exabgp.bgp.message.open.capability.capabilities import Capabilities
from exabgp.bgp.message.open.capability.negotiated import Negotiated
from exabgp.configuration.configuration import Configuration
from exabgp.environment import getenv
from exabgp.logger import log

from labkit.routeserver.mends import mend

RENDERED = Path(__file__).parents[2] / "golden/render/overview/nodes/rs1-0/exabgp.conf"

MP_IPV4, MP_IPV6, REFRESH, ASN4 = "0206010400010001", "0206010400020001", "02020200", "020641040000ffeb"


@pytest.fixture(scope="module")
def neighbor() -> Any:
    mend()
    log.init(getenv())
    configuration = Configuration([str(RENDERED)])
    assert configuration.reload() is True, configuration.error
    return next(iter(configuration.neighbors.values()))


def our_open(neighbor: Any) -> Any:
    capabilities = Capabilities().new(neighbor, restarted=False)
    return Open(Version(4), neighbor["local-as"], neighbor["hold-time"], neighbor["router-id"], capabilities)


def test_the_open_is_azures(neighbor: Any) -> None:
    """[bgp-capabilities]"""
    capabilities = MP_IPV4 + MP_IPV6 + ASN4 + REFRESH
    body = bytes.fromhex("04ffeb00b40a0100041c" + capabilities)
    assert our_open(neighbor).message() == Message.MARKER + (19 + len(body)).to_bytes(2, "big") + b"\1" + body


@pytest.mark.parametrize(
    ("capabilities", "families"),
    [
        (MP_IPV4 + MP_IPV6, ["ipv4 unicast", "ipv6 unicast"]),
        (MP_IPV4 + REFRESH, ["ipv4 unicast"]),
        (MP_IPV6, ["ipv6 unicast"]),
        (REFRESH, ["ipv4 unicast"]),
        ("", ["ipv4 unicast"]),
    ],
)
def test_families(neighbor: Any, capabilities: str, families: list[str]) -> None:
    """What was offered on both sides, and IPv4 unicast with a peer that offers no family."""
    negotiated = Negotiated(neighbor)
    negotiated.sent(our_open(neighbor))
    options = bytes.fromhex(capabilities)
    body = bytes.fromhex("04fde900b40a01010a") + bytes([len(options)]) + options
    negotiated.received(Open.unpack_message(body))
    assert [f"{afi} {safi}" for afi, safi in negotiated.families] == families
