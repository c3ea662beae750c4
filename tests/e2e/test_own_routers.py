"""Routers of the user's own: configurations that daemons' parsers check first, and images on containerlab."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from labkit.errors import InvalidInput
from labkit.pytest import Boot, RunningLab
from labkit.resources import topologies
from labkit.runtimes.containerlab import docker_images
from labkit.runtimes.containerlab.docker_engine import engine
from labkit.runtimes.image import images
from labkit.runtimes.select import SANDBOX
from tests.e2e.in_lab import lab_file, nothing_differs, problems
from tests.e2e.waiting import SOON
from tests.verbs import in_process

OWN = topologies() / "own-configuration"
FRR, BIRD = "firewall/frr.conf", "edge/bird.conf"
NOT_PREDICTED = (
    "firewall has a configuration of its own (firewall/frr.conf): what it does is not predicted.\n"
    "edge has a configuration of its own (edge/bird.conf): what it does is not predicted.\n"
)


@pytest.fixture(scope="module")
def lab(labkit_lab: Boot) -> RunningLab:
    return labkit_lab("own-configuration")


def labkit(*words: str) -> str:
    """What a verb prints, with its messages."""
    status, output, messages = in_process(words)
    assert status == 0, messages
    return messages + output


def test_verbs_name_what_is_not_predicted_and_go_on(lab: RunningLab) -> None:
    assert problems(lab, SOON) == []
    nothing_differs(lab)
    assert labkit("verify", "own-configuration").startswith(NOT_PREDICTED)
    assert labkit("diff", "own-configuration").startswith(NOT_PREDICTED)
    there = labkit("trace", "vm1", "branch", "--lab", "own-configuration")
    assert "edge has a configuration of its own (edge/bird.conf): its kernel's routes are shown as they are." in there
    assert "kernel: proto bird" in there
    outlook = labkit(
        "whatif", "--lab", "own-configuration", "route-server", "update", "rs1", "--branch-to-branch", "on"
    )
    assert "edge/bird.conf): what it does is not predicted. It is assumed to advertise what it does now." in outlook
    assert "65515-65002-65002-65010" in outlook, "what the route server has of the edge is followed"
    status, _, messages = in_process(("nva", "advertise", "edge", "10.9.0.0/16", "--lab", "own-configuration"))
    refused = "edge has a configuration of its own (edge/bird.conf): what it advertises is not labkit's to change."
    assert (status, messages.splitlines()[0]) == (2, refused)


def test_an_own_configuration_that_has_changed_since_the_lab_started(lab: RunningLab, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(OWN, tmp_path / "lab"))
    changed = folder / BIRD
    changed.write_text(f"# changed\n{changed.read_text()}")
    status, _, messages = in_process(("up", str(folder / "lab.yml")))
    wrong = f"lab {lab.lab.name} runs already, and {changed} has changed since it started."
    assert (status, wrong in messages) == (2, True)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the lab's folder, to be spoilt."""
    images.ensure(images.node_image())
    folder = Path(shutil.copytree(OWN, tmp_path / "lab"))
    file = folder / "lab.yml"
    file.write_text(file.read_text().replace("name: own-configuration", "name: spoilt"))
    return folder


@pytest.mark.parametrize(
    ("file", "good", "bad", "problem"),
    [
        (FRR, " neighbor azure peer-group", " neighbour azure peer-group", "Unknown command: neighbour azure"),
        (FRR, "  redistribute static", "  redistribute statics", "Unknown command: redistribute statics"),
        (
            FRR,
            "router bgp {{ asn }}",
            "router ospf",
            "router ospf: of FRR's daemons only mgmtd, zebra, staticd, bgpd",
        ),
        (FRR, "{{ gateway }}", "{{ gatevay }}", "'gatevay' is undefined."),
        (FRR, "{{ gateway }}", "{{ gateway }", "unexpected '}'."),
        (BIRD, "  import none;", "  import nothing;", "syntax error, unexpected CF_SYM_UNDEFINED"),
        (BIRD, "  multihop 2;", "  multihop 2 {{ asn }};", "syntax error, unexpected NUM, expecting ';'"),
    ],
)
def test_a_mistake_in_an_own_configuration(copy: Path, file: str, good: str, bad: str, problem: str) -> None:
    spoilt = copy / file
    text = spoilt.read_text()
    line = text[: text.index(good)].count("\n") + 1
    spoilt.write_text(text.replace(good, bad, 1))
    for verb in ("validate", "up"):
        status, _, messages = in_process((verb, str(copy / "lab.yml")))
        assert status == 2
        assert f"{spoilt}:{line}: {problem}" in messages
        assert messages.endswith("Nothing was created.\n")


def test_an_own_configuration_that_is_not_there(copy: Path) -> None:
    (copy / FRR).unlink()
    status, _, messages = in_process(("up", str(copy / "lab.yml")))
    assert status == 2
    line = next(n for n, text in enumerate((OWN / "lab.yml").read_text().splitlines(), 1) if FRR in text)
    assert f"lab.yml:{line}: NVA firewall: config {FRR}: there is no such file." in messages


@pytest.mark.both_runtimes
def test_an_image_of_ones_own(labkit_lab: Boot, labkit_runtime: str) -> None:
    if labkit_runtime == SANDBOX:
        with pytest.raises(InvalidInput, match="NVA fw: the sandbox can't run image labkit-e2e/vendor:1"):
            labkit_lab(lab_file("vendor"))
        return
    reference = images.ensure(images.node_image()).reference
    docker_images.ensure(reference)
    assert engine().tag(reference, "labkit-e2e/vendor", "1")
    try:
        lab = labkit_lab(lab_file("vendor"))
        assert problems(lab, SOON) == []
        nothing_differs(lab)
        there = labkit("status", "vendor")
        assert "fw runs an image of its own: its sessions are shown as their far ends have them." in there
        status, _, messages = in_process(("shell", "fw", "--bgp", "--lab", "vendor"))
        assert (status, messages.splitlines()[0]) == (2, "fw runs an image of its own (labkit-e2e/vendor:1).")
    finally:
        engine().remove_image("labkit-e2e/vendor:1", force=True)
