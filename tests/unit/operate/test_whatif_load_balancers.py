"""A prediction's packets go through every backend of a load balancer that is their next hop."""

from __future__ import annotations

from pathlib import Path

from labkit.azure.forwarding import Disposition
from labkit.azure.model import InstanceId
from labkit.lab.load import load
from labkit.predict.whatif.model import Side
from labkit.predict.whatif.reach import predicted
from tests.unit.azure.builders import addr, net
from tests.unit.operate.test_whatif import settled

LAB = load(Path(__file__).parents[2] / "e2e" / "labs" / "load-balancer.lab.yml")
BRANCH = net("10.250.0.0/16")


def test_every_backend_is_a_way() -> None:
    end = settled(LAB)
    assert {path.attributes.next_hop for path in end.speakers.at_server[InstanceId("rs1", 0)][BRANCH]} == {
        addr("10.1.1.100")
    }
    reach = predicted(LAB, Side(LAB.azure, end.speakers.adj_ribs_in, end.routers))
    for source in ("vm1", "vm2"):
        ways = reach.ways(source, LAB.site["branch"].host.address.ip)
        assert [(way.disposition, way.through) for way in ways] == [
            (Disposition.DELIVERED, ("nva1",)),
            (Disposition.DELIVERED, ("nva2",)),
        ], ways
    # What is for the frontend itself ends at one of them.
    ways = reach.ways("vm1", addr("10.1.1.100"))
    assert [(way.disposition, way.through) for way in ways] == [(Disposition.DELIVERED, ())] * 2, ways
