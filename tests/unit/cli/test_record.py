"""Records of labs: whole or not there, and what killed and broken ones lead to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.errors import InvalidInput
from labkit.operate.labs import lifecycle
from labkit.operate.records import record as records


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "labkit"


def make(lab: str) -> records.Record:
    return records.create(lab, "sandbox", Path("/a/lab.yml"), "labkit/node:abc")


def test_a_record_is_read_as_written(home: Path) -> None:
    made = make("one")
    assert records.read("one") == made
    assert made.topology == home / "labs" / "one" / "topology" / "one.clab.yml"
    assert [r.lab for r in records.everything()] == ["one"]


def test_a_record_knows_its_variant() -> None:
    made = records.create("one", "sandbox", Path("/a/lab.yml"), "labkit/node:abc", "active-active")
    assert records.read("one") == made
    assert (made.variant, made.title, make("two").title) == ("active-active", "one (active-active)", "two")


def test_a_lab_that_is_there_is_not_overwritten(home: Path) -> None:
    make("one")
    with pytest.raises(OSError, match="not empty"):
        make("one")
    assert [p.name for p in (home / "labs").iterdir()] == ["one"]


def test_removed_is_gone_and_may_be_repeated(home: Path) -> None:
    made = make("one")
    (made.directory / "topology").mkdir()
    for _ in range(2):
        records.remove("one")
        assert list((home / "labs").iterdir()) == []
    assert records.read("one") is None


@pytest.mark.parametrize("left", [".one.new", ".one.gone"])
def test_what_a_killed_labkit_left_is_no_lab_and_is_swept_away(home: Path, left: str) -> None:
    (home / "labs" / left / "topology").mkdir(parents=True)
    assert records.everything() == []
    make("one")
    assert [p.name for p in (home / "labs").iterdir()] == ["one"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"lab": "one"}', '{"runtime": 1, "created": []}', None])
def test_a_damaged_record_is_a_lab_all_the_same(home: Path, text: str | None) -> None:
    """Or nobody could take down what runs under it."""
    (home / "labs" / "one").mkdir(parents=True)
    if text is not None:
        (home / "labs" / "one" / "lab.json").write_text(text)
    (found,) = records.everything()
    assert (found.lab, found.runtime) == ("one", "")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"runtime": "podman"}, "its runtime podman is another labkit's, which alone can stop its nodes"),
        ({"created": float("inf")}, "its time is not valid"),
        ({"created": -1}, "its time is not valid"),
        ({"lab_file": "/a/\x1b[31mred"}, "its texts are not those of a record"),
        ({"variant": None}, "its texts are not those of a record"),
    ],
)
def test_a_record_that_this_labkit_cannot_have_written_is_damaged(change: dict[str, object], problem: str) -> None:
    file = make("one").directory / "lab.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    make("two")
    one, two = records.everything()
    assert (one.runtime, two.problem) == ("", "")
    assert one.problem == f"{file} can't be read: {problem}"


def _brackets(lab: Path) -> None:
    (lab / "lab.json").write_text("[" * 60_000)


def _endless(lab: Path) -> None:
    (lab / "lab.json").symlink_to("/dev/zero")


def _fifo(lab: Path) -> None:
    os.mkfifo(lab / "lab.json")


def _fifo_in_the_sandbox(lab: Path) -> None:
    (lab / "sandbox").mkdir()
    os.mkfifo(lab / "sandbox" / "state.json")


def _hostile_identity(lab: Path) -> None:
    (lab / "sandbox").mkdir()
    identity = {"pid": "1", "start_ticks": 1, "boot_id": "x", "pid_namespace": 1}
    (lab / "sandbox" / "state.json").write_text(json.dumps({"init": identity}))


def _sandbox_elsewhere(lab: Path) -> None:
    (lab / "sandbox").symlink_to(lab.parents[2] / "outside")


def _lab_elsewhere(lab: Path) -> None:
    lab.rmdir()
    lab.symlink_to(lab.parents[2] / "outside")


@pytest.mark.parametrize(
    "break_it",
    [_brackets, _endless, _fifo, _fifo_in_the_sandbox, _hostile_identity, _sandbox_elsewhere, _lab_elsewhere],
)
def test_whatever_has_come_into_a_labs_place_it_is_listed_and_cleared_and_nothing_outside_is_touched(
    home: Path, tmp_path: Path, break_it: Callable[[Path], None]
) -> None:
    outside = tmp_path / "outside" / "sandbox"
    outside.mkdir(parents=True)
    (outside / "state.json").write_text("precious")
    lab = home / "labs" / "one"
    lab.mkdir(parents=True)
    break_it(lab)
    make("two")
    assert [record.lab for record in records.everything()] == ["one", "two"]
    one, _ = records.everything()
    lifecycle.down(one)
    assert [record.lab for record in records.everything()] == ["two"]
    assert (outside / "state.json").read_text() == "precious"


def test_what_has_no_labs_name_is_no_lab(home: Path) -> None:
    (home / "labs" / "a\x1b[31mb").mkdir(parents=True)
    make("one")
    assert [record.lab for record in records.everything()] == ["one"]
    assert records.strangers() == [home / "labs" / "a\x1b[31mb"]


@pytest.mark.parametrize("name", ["", ".", "..", "../labs/one", "/", "one/", ".one.new", "one\0", "x" * 5000, "\udcff"])
def test_only_a_name_names_a_lab(name: str) -> None:
    make("one")
    assert records.read(name) is None


def test_which_lab_is_meant() -> None:
    with pytest.raises(InvalidInput, match="no lab runs here"):
        records.choose(None, records.everything())
    make("one")
    assert records.choose(None, records.everything()).lab == "one"
    make("two")
    with pytest.raises(InvalidInput, match="2 labs run here: one, two") as caught:
        records.choose(None, records.everything())
    assert caught.value.remedy == "Choose one, for example: --lab one"
    assert records.choose("two", records.everything()).lab == "two"
    with pytest.raises(InvalidInput, match="no lab called three"):
        records.choose("three", records.everything())


def test_a_lock_keeps_others_out_and_leaves_nothing(home: Path) -> None:
    other = "from labkit.operate.records import record\nwith record.lock('one'): print('in')"

    def try_it() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", other]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))

    with records.lock("one"):
        refused = try_it()
        assert "another labkit is starting lab one or taking it down" in refused.stderr
        with records.lock("two"):
            pass
    assert try_it().stdout == "in\n"
    assert list((home / "locks").iterdir()) == []


def test_a_dead_lock_is_cleared_and_a_held_one_is_not(home: Path) -> None:
    stale = home / "locks" / "one.lock"
    stale.parent.mkdir(parents=True, exist_ok=True)
    stale.touch()
    records.clear_lock("one")
    assert not stale.exists()
    with records.lock("one"):
        records.clear_lock("one")
        assert stale.exists()
    records.clear_lock("../one")
