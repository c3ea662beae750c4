"""Both sources of tables lead every packet of every bundled lab the same way, without a kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.lab.load import read_all
from labkit.lab.model import Lab
from labkit.predict.tables import PredictedTables
from labkit.predict.whatif.reach import Reach, sources, targets
from labkit.resources import topologies
from tests.unit.operate.test_whatif import settled
from tests.unit.predict.planned_kernels import PlannedTables

FILES = [*topologies().glob("*/lab.yml"), *(Path(__file__).parents[2] / "e2e" / "labs").glob("*.lab.yml")]
LABS = [loaded.lab for file in sorted(FILES) for loaded in read_all(file) if not loaded.lab.own_routers]


@pytest.mark.parametrize("lab", LABS, ids=[f"{lab.name}-{lab.variant or 'base'}" for lab in LABS])
def test_the_prediction_and_nodes_tables_agree(lab: Lab, tmp_path: Path) -> None:
    end = settled(lab)
    predicted = Reach(lab, PredictedTables(lab, end.speakers, end.routers))
    planned = Reach(lab, PlannedTables(lab, end, tmp_path / "lab"))
    delivered = 0
    for source in sources(lab):
        for target, address in targets(lab).items():
            if source != target:
                one, other = (
                    sorted((way.disposition, way.through, way.at) for way in reach.ways(source, address))
                    for reach in (predicted, planned)
                )
                assert one == other, (source, target)
                delivered += any(way.delivered for way in predicted.ways(source, address))
    assert delivered
