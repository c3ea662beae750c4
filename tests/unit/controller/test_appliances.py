"""What an operator changes of what NVAs advertise is in their nodes' folders, or nothing of it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.azure.changes.appliances import SetAdvertisedPrefixes
from labkit.controller.appliances import Policies, discard, put_in_place
from labkit.daemons.frr.config import policy
from labkit.daemons.protocol import ORIGINATED_FILE, POLICY_FILE
from labkit.errors import EnvironmentProblem
from labkit.lab.load import load
from labkit.lab.plan.speakers import nva_speaker
from labkit.lab.running import carry_out
from labkit.resources import topologies
from labkit.tracker.__main__ import originated
from tests.unit.azure.builders import net

LAB = load(topologies() / "overview" / "lab.yml")
CHANGE = SetAdvertisedPrefixes("security-nva", (net("0.0.0.0/0"), net("10.9.0.0/16")))
CHANGED = carry_out(LAB, LAB.azure, [CHANGE]).azure


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for nva in LAB.nva:
        (tmp_path / nva).mkdir()
    return tmp_path


def files(run: Path) -> list[str]:
    return sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())


def test_only_what_was_changed_has_files(run: Path) -> None:
    policies = Policies(LAB, run)
    assert policies.prepare(LAB.azure) == {}
    put_in_place(policies.prepare(CHANGED))
    assert files(run) == ["security-nva/originated", "security-nva/policy.conf"]
    folder = run / "security-nva"
    speaker = nva_speaker(LAB, LAB.nva["security-nva"], CHANGED.appliance["security-nva"])
    assert (folder / POLICY_FILE).read_text() == policy(speaker)
    assert originated(folder / ORIGINATED_FILE, ()) == CHANGE.prefixes
    assert originated(run / "sdwan-nva" / ORIGINATED_FILE, CHANGE.prefixes[:1]) == CHANGE.prefixes[:1]
    assert policies.prepare(CHANGED) == {}, "what is there is not written again"


def test_what_is_undone_stays_in_its_file(run: Path) -> None:
    policies = Policies(LAB, run)
    put_in_place(policies.prepare(CHANGED))
    put_in_place(policies.prepare(LAB.azure))
    assert originated(run / "security-nva" / ORIGINATED_FILE, ()) == (net("0.0.0.0/0"),)


def test_what_is_prepared_may_be_discarded(run: Path) -> None:
    discard(Policies(LAB, run).prepare(CHANGED))
    assert files(run) == []


def test_a_full_disk_leaves_nothing(run: Path) -> None:
    (run / "security-nva" / f".{ORIGINATED_FILE}").symlink_to("nowhere/at-all")  # nothing can be written to it
    with pytest.raises(EnvironmentProblem, match=r"the controller can't configure the NVA: .*: No such file"):
        Policies(LAB, run).prepare(CHANGED)
    assert files(run) == []
