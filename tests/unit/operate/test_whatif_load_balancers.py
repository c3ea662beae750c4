"""A prediction's packets go through every backend of a load balancer that is their next hop."""

from __future__ import annotations

from pathlib import Path

from labkit.azure.model import LearnedRoute, PathAttributes
from labkit.azure.world import Heard
from labkit.lab.load import load
from labkit.operate.whatif_model import Side
from labkit.operate.whatif_reach import Reach
from labkit.operate.whatif_ways import Outcome
from tests.unit.azure.builders import addr, net

LAB = load(Path(__file__).parents[2] / "e2e" / "labs" / "load-balancer.lab.yml")
BRANCH = net("10.250.0.0/16")


def test_every_backend_is_a_way() -> None:
    server = LAB.azure.route_servers[0]
    told = tuple(
        LearnedRoute(BRANCH, PathAttributes(addr("10.1.1.100"), (peer.asn, 65010)), peer) for peer in server.peers
    )
    reach = Reach(LAB, Side(LAB.azure, Heard({(server.name, i): {BRANCH: told} for i in (0, 1)}, {}, {}, {})))
    for source in ("vm1", "vm2"):
        ways = reach.ways(source, LAB.site["branch"].host.address.ip)
        assert [(way.outcome, way.through) for way in ways] == [
            (Outcome.DELIVERED, ("nva1",)),
            (Outcome.DELIVERED, ("nva2",)),
        ], ways
    # What is for the frontend itself is for nobody.
    (way,) = reach.ways("vm1", addr("10.1.1.100"))
    assert way.outcome is Outcome.DROPPED
