"""Who takes what from whom over a peering."""

from __future__ import annotations

from dataclasses import replace

import pytest

from labkit.azure.model import Azure, Peering, RouteServer
from labkit.azure.rules.adjacency import takes_forwarded
from tests.unit.azure.builders import addr, azure, network


def lab(one: Peering, other: Peering | None = None) -> Azure:
    server = RouteServer("rs", "hub", (addr("10.0.0.4"), addr("10.0.0.5")))
    model = azure([network("hub", "10.0.0.0/16"), network("spoke", "10.1.0.0/16")], servers=[server])
    return replace(model, peerings=(one,) if other is None else (one, other))


@pytest.mark.parametrize("hub", [True, False])
@pytest.mark.parametrize("spoke", [True, False])
def test_each_side_decides_for_itself(*, hub: bool, spoke: bool) -> None:
    model = lab(
        Peering("hub", "spoke", allow_forwarded_traffic=hub), Peering("spoke", "hub", allow_forwarded_traffic=spoke)
    )
    assert takes_forwarded(model, "hub", "spoke") is hub
    assert takes_forwarded(model, "spoke", "hub") is spoke


def test_a_spoke_that_uses_the_hubs_gateways_is_exempt() -> None:
    """Transit worked with it off (MHK) [forwarded-traffic]."""
    model = lab(
        Peering("hub", "spoke", allow_gateway_transit=True, allow_forwarded_traffic=False),
        Peering("spoke", "hub", use_remote_gateways=True, allow_forwarded_traffic=False),
    )
    assert takes_forwarded(model, "hub", "spoke")
    assert takes_forwarded(model, "spoke", "hub")


def test_strangers_take_nothing() -> None:
    assert not takes_forwarded(lab(Peering("hub", "spoke")), "hub", "spoke")
