"""What operators change of a lab survives the controller."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labkit.azure.changes.route_servers import SetRouteServerSettings
from labkit.controller import desired
from labkit.errors import EnvironmentProblem
from labkit.lab.load import load
from labkit.lab.running import carry_out
from labkit.resources import topologies


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "desired.json"
    lab = load(topologies() / "expressroute" / "lab.yml")
    assert desired.load(file, lab) == lab.azure
    change = SetRouteServerSettings("rs1", allow_branch_to_branch_traffic=True)
    after = carry_out(lab, lab.azure, [change]).azure
    desired.save(file, lab, after)
    assert desired.load(file, lab) == after
    assert json.loads(file.read_text())["changes"] == [change.to_json()]


def test_changes_of_another_lab_file_are_none_of_this_one(tmp_path: Path) -> None:
    file = tmp_path / "desired.json"
    lab = load(topologies() / "expressroute" / "lab.yml")
    after = carry_out(lab, lab.azure, [SetRouteServerSettings("rs1", allow_branch_to_branch_traffic=True)]).azure
    desired.save(file, lab, after, "before")
    assert desired.load(file, lab, "edited") == lab.azure
    assert desired.load(file, lab, "before") == after


def test_a_change_that_can_not_be_kept_is_refused(tmp_path: Path) -> None:
    lab = load(topologies() / "expressroute" / "lab.yml")
    (tmp_path / "desired.json").mkdir()  # nothing can be renamed to it
    with pytest.raises(EnvironmentProblem, match=r"the controller can't keep the change: .*: Is a directory"):
        desired.save(tmp_path / "desired.json", lab, lab.azure)
    assert [path.name for path in tmp_path.iterdir()] == ["desired.json"]
