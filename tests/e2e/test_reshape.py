"""A running lab becomes that of an edited file: nodes and links are made and go, and what did not change runs on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import EnvironmentProblem, InvalidInput
from labkit.lab.plan.nodes import target_address
from labkit.operate import apply
from labkit.operate import reshape as reshaping
from labkit.operate.changes import Now
from labkit.operate.labs import lifecycle
from labkit.operate.look.running import inspect
from labkit.operate.records import record as records
from labkit.operate.reshape import reshape
from labkit.pytest import Boot, RunningLab
from labkit.render.render import rendered
from labkit.runtimes.protocol import Completed
from labkit.runtimes.sandbox.runtime import SandboxRuntime
from tests.e2e.in_lab import configure, nothing_differs, off, problems, reaches, run
from tests.e2e.waiting import SOON

SPOKE = (
    (
        "\n# The security appliance's NIC",
        (
            "  spoke:\n    address_space: 10.9.0.0/16\n    subnets: {work: 10.9.1.0/24}\n\n"
            "peerings:\n  - {between: [vnet1, spoke], use_remote_gateways: spoke, allow_gateway_transit: vnet1}\n"
            "\n# The security appliance's NIC"
        ),
    ),
    ("  vm2: {subnet: vnet1/workload}\n", "  vm2: {subnet: vnet1/workload}\n  vm9: {subnet: spoke/work}\n"),
)
NVA = (
    ("      workload: 10.1.10.0/24\n", "      workload: 10.1.10.0/24\n      third: 10.1.3.0/24\n"),
    ("peers: [sdwan-nva, security-nva]}", "peers: [sdwan-nva, security-nva, third]}"),
    ("\nsites:", "  third: {subnet: vnet1/third, asn: 65003, advertises: [10.77.0.0/16]}\n\nsites:"),
)
GATEWAY = (
    ("      third: 10.1.3.0/24\n", "      third: 10.1.3.0/24\n      GatewaySubnet: 10.1.4.0/24\n"),
    (
        "\nsites:\n",
        (
            "\ngateways:\n  vpn: {virtual_network: vnet1, type: Vpn, active_active: true, connects_to: [office]}\n"
            "\nsites:\n  office: {asn: 65099, prefixes: [10.88.0.0/16]}\n"
        ),
    ),
)
BRANCH = (
    ("connects_to: [branch]}\n  security-nva: {sub", "connects_to: [branch, second]}\n  security-nva: {sub"),
    ("\nsites:\n", "\nsites:\n  second: {asn: 65098, prefixes: [10.87.0.0/16]}\n"),
)


def edited(text: str, *edits: Sequence[tuple[str, str]]) -> str:
    for old, new in (each for edit in edits for each in edit):
        assert text.count(old) >= 1, old
        text = text.replace(old, new, 1)
    return text


@pytest.fixture
def lab(labkit_lab: Boot, overview_file: Path) -> Iterator[RunningLab]:
    """The overview lab, which each test leaves as it found it."""
    found = labkit_lab(overview_file)
    yield found
    assert problems(found, SOON) == []
    nothing_differs(found)


def become(lab: RunningLab, text: str) -> RunningLab:
    """The lab once it is that of the text, has converged, and is what the rules make of it."""
    done = reshape(lab.client.record, text, "edited.lab.yml")
    now = RunningLab(done.edited.lab, lab.client)
    assert problems(now, SOON) == []
    nothing_differs(now)
    return now


def arrives(lab: RunningLab, source: str, target: str) -> None:
    """Wait until a node, or the host of a site, answers another one."""
    reaches(lab.client, source, target_address(lab.lab, target))


@contextmanager
def nothing_lost(lab: RunningLab, source: str, target: str) -> Iterator[None]:
    """A flow of packets, every 20 ms, that loses none meanwhile."""
    address = lab.lab.azure.nic[target].address
    process = lab.client.runtime.stream(lab.lab.name, source, ["ping", "-i", "0.02", "-W", "1", str(address)])
    assert process.stdout is not None
    assert process.stdout.readline()
    first = process.stdout.readline()
    assert b"icmp_seq=1 " in first
    yield
    process.terminate()
    numbers = [int(found) for found in re.findall(rb"icmp_seq=(\d+) ttl", process.stdout.read())]
    process.wait(SOON)
    assert len(numbers) > 10
    assert numbers == list(range(2, len(numbers) + 2))


def test_a_lab_grows_and_shrinks(lab: RunningLab, overview_file: Path) -> None:
    text = overview_file.read_text()
    record, nodes = lab.client.record, _nodes(lab)
    with nothing_lost(lab, "vm1", "vm2"):
        now = become(lab, edited(text, SPOKE))
        arrives(now, "vm9", "vm1")
        arrives(now, "vm9", "branch")
        assert _nodes(lab) == nodes | {"spoke", "vm9"}
        now = become(now, edited(text, SPOKE, NVA))
        assert "10.77.0.0/16" in run(now, "vm9", "ip", "route")
        now = become(now, edited(text, SPOKE, NVA, GATEWAY))
        arrives(now, "vm9", "office")
        assert _nodes(lab) == nodes | {"spoke", "vm9", "third", "vpn-0", "vpn-1", "office", "office-host"}
        assert (record.source.read_text(), record.folder.joinpath("lab.yml").read_text()) == (
            edited(text, SPOKE, NVA, GATEWAY),
            edited(text, SPOKE, NVA, GATEWAY),
        )
        assert "office-host" in record.topology.read_text()
        become(now, text)
    assert _nodes(lab) == nodes
    assert "vm9" not in record.topology.read_text()
    assert not (record.folder / "run" / "vm9").exists()
    assert lab.client.changes() == ()
    events = [(event.node, event.text) for event in lab.client.events(follow=False)]
    assert ("vm9", "made, by the operator") in events
    assert ("vm9", "removed, by the operator") in events


def test_what_stays_keeps_its_address(lab: RunningLab, overview_file: Path, tmp_path: Path) -> None:
    """A machine comes before others in the file: it gets a free address, and theirs are in the lab's file then."""
    text = overview_file.read_text()
    more = text.replace("  vm1: {subnet", "  vm0: vnet1/workload\n  vm1: {subnet", 1)
    with nothing_lost(lab, "vm1", "vm2"):
        now = become(lab, more)
        assert {name: str(now.lab.azure.nic[name].address)[-1] for name in ("vm0", "vm1", "vm2")} == {
            "vm0": "6",
            "vm1": "4",
            "vm2": "5",
        }
        arrives(now, "vm0", "vm2")
        file = tmp_path / "edited.lab.yml"
        file.write_text(more)
        assert apply.reshaping(Now(now.client.record), apply.read(str(file)), None) is None
        lifecycle.must_be_its_file(now.client.record, file)
        become(now, text)


def test_a_node_with_another_configuration_is_restarted_with_its_links(lab: RunningLab, overview_file: Path) -> None:
    text = overview_file.read_text()
    configure(lab, "sdwan-nva", "router bgp 65001", "timers bgp 1 3")
    with nothing_lost(lab, "vm1", "vm2"):
        now = become(lab, edited(text, BRANCH))
        assert "timers bgp" not in run(now, "sdwan-nva", "vtysh", "-c", "show running-config")
        arrives(now, "vm1", "second")
        arrives(now, "vm1", "branch")
        become(now, text)


def test_if_a_part_fails_the_lab_is_what_it_was(
    lab: RunningLab, overview_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last step fails: the Internet refuses its new rules, when the new nodes run already."""
    refusals = [Completed(1, "", "no such table")]

    class Refusing(SandboxRuntime):
        def exec(self, *_: Any, **__: Any) -> Completed:
            return refusals.pop() if refusals else Completed(0, "", "")

    nodes, files = _nodes(lab), _files(lab)
    monkeypatch.setattr(reshaping, "runtime", lambda _: Refusing())
    with nothing_lost(lab, "vm1", "vm2"):
        with pytest.raises(EnvironmentProblem, match="node internet: `nft -f -` failed: no such table"):
            reshape(lab.client.record, edited(overview_file.read_text(), SPOKE), "edited.lab.yml")
        assert _nodes(lab) == nodes
        assert _files(lab) == files
        assert not (lab.client.record.folder / "run" / "vm9").exists()
        assert records.read(lab.lab.name) == lab.client.record
        assert problems(lab, SOON) == []


def test_what_is_refused(lab: RunningLab, overview_file: Path) -> None:
    text = edited(overview_file.read_text(), SPOKE)
    files = _files(lab)
    with off(lab, "internet"), pytest.raises(InvalidInput, match="internet is stopped; nothing was changed"):
        reshape(lab.client.record, text, "edited.lab.yml")
    with pytest.raises(InvalidInput, match=r"the file is of lab other.*; nothing was changed"):
        reshape(lab.client.record, text.replace("name: overview", "name: other"), "edited.lab.yml")
    elsewhere = replace(lab.client.record, runtime="containerlab")
    with pytest.raises(InvalidInput, match="the containerlab runtime can't add nodes"):
        reshape(elsewhere, text, "edited.lab.yml")
    assert _files(lab) == files


def test_a_lab_that_was_left_half_changed_is_refused(lab: RunningLab, overview_file: Path) -> None:
    """Another labkit has made nodes, and was killed before the lab's record had the file."""
    text, record = overview_file.read_text(), lab.client.record
    become(lab, edited(text, SPOKE))
    record.source.write_text(text)
    with pytest.raises(EnvironmentProblem, match="was left half changed, by a labkit that was killed: spoke, vm9"):
        reshape(record, text, "edited.lab.yml")
    record.source.write_text(edited(text, SPOKE))
    become(lab, text)


def _nodes(lab: RunningLab) -> set[str]:
    status = inspect(lab.client.record)
    assert status is not None
    return {node.name for node in status.nodes if node.state == "running"}


def _files(lab: RunningLab) -> dict[str, bytes]:
    return rendered(lab.client.record.folder)
