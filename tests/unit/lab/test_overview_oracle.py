"""What the overview lab claims of NICs agrees with the oracle, given the routes that its appliances advertise."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from labkit.azure.model import LearnedRoute, PathAttributes, RouteState
from labkit.azure.rules.effective import effective_routes
from labkit.lab import proofs
from labkit.lab.load import load
from labkit.lab.plan.nodes import address_of

from .samples import OVERVIEW

LAB = load(OVERVIEW)
CLAIMS = [p.claim for p in LAB.proofs if isinstance(p.claim, proofs.EffectiveRouteClaim)]


@pytest.mark.parametrize("claim", CLAIMS, ids=[f"{c.on} {c.prefix}" for c in CLAIMS])
def test_effective_route(claim: proofs.EffectiveRouteClaim) -> None:
    sdwan, security = LAB.azure.route_servers[0].peers
    branch, default = IPv4Network("10.250.0.0/16"), IPv4Network("0.0.0.0/0")
    instance = {
        branch: (LearnedRoute(branch, PathAttributes(sdwan.address, (65001, 65010)), sdwan),),
        default: (LearnedRoute(default, PathAttributes(security.address, (65002,)), security),),
    }
    table = effective_routes(LAB.azure, claim.on, {"rs1": (instance, instance)})
    rows = [r for r in table if r.prefix == claim.prefix and r.state is RouteState.ACTIVE]
    assert [str(r.next_hop_type) for r in rows] == [claim.type]
    assert rows[0].next_hops == tuple(address_of(LAB, via) for via in claim.via or ())
