"""`labkit apply`: what a file makes of a running lab, with a reason for each change, and what is refused."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.azure.changes.registry import to_json
from labkit.azure.changes.route_servers import (
    CreateRouteServer,
    DeletePeer,
    DeleteRouteServer,
    PutPeer,
    SetRouteServerSettings,
)
from labkit.azure.model import Azure
from labkit.errors import InvalidInput
from labkit.lab.load import load_text
from labkit.lab.running import carry_out
from labkit.operate import apply
from labkit.operate.apply import Step, undo
from labkit.operate.changes import Now
from labkit.operate.records.record import Record

TEXT = """
name: apply
virtual_networks:
  hub:
    address_space: 10.1.0.0/16
    subnets: {RouteServerSubnet: 10.1.0.0/26, nva: {prefix: 10.1.1.0/24, route_table: t}}
route_tables:
  t: {routes: {10.9.0.0/16: None}}
nvas:
  nva1: {subnet: hub/nva, asn: 65001}
  nva2: {subnet: hub/nva, asn: 65002}
route_servers:
  rs1: {virtual_network: hub, peers: [nva1]}
variants:
  other:
    route_servers: {rs1: {branch_to_branch: true}}
"""
LAB = load_text(TEXT, "apply.lab.yml")
RS1 = LAB.azure.route_server["rs1"]
NVA1 = LAB.azure.nic["nva1"].address


def now(azure: Azure = LAB.azure, variant: str = "") -> Now:
    found = Now(Record(LAB.name, "sandbox", "", "", 0.0, variant))
    found.__dict__.update(lab=LAB, azure=azure)
    return found


def plan(now: Now, file: str, variant: str | None) -> tuple[Step, ...]:
    return apply.plan(now, apply.read(file), variant)


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "file"
        path.write_text(text)
        return str(path)

    return write


def test_a_list_of_changes(file: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps(to_json([SetRouteServerSettings("rs1", True), DeletePeer("rs1", "nva1")]))
    path = file(text)
    assert [(step.what, step.reason) for step in plan(now(), path, None)] == [
        ("branch-to-branch off → on", f"change 1 of {path}"),
        ("peering nva1 deleted", f"change 2 of {path}"),
    ]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert next(step.reason for step in plan(now(), "-", None)) == "change 1 of standard input"


def test_an_edited_file_has_a_reason_for_each_change(file: Callable[[str], str]) -> None:
    edited = file(
        TEXT.replace("peers: [nva1]", "peers: [nva1, nva2], hub_routing_preference: ASPath").replace("10.9", "10.8")
    )
    assert [(step.change.subject, step.what, step.reason) for step in plan(now(), edited, None)] == [
        ("rs1", "hub routing preference ExpressRoute → ASPath", "the file is edited"),
        (
            "rs1",
            f"peering nva2 ({LAB.azure.nic['nva2'].address}, AS 65002) created",
            "the file is edited; configure BGP in nva2 for it: labkit shell nva2",
        ),
        ("t", "route 10.9.0.0/16 deleted: it was None", "the file is edited"),
        ("t", "route 10.8.0.0/16 created: None", "the file is edited"),
    ]


def test_what_was_changed_meanwhile_is_undone(file: Callable[[str], str]) -> None:
    gone = carry_out(LAB, LAB.azure, [DeleteRouteServer("rs1")]).azure
    assert [(step.change, step.reason) for step in plan(now(gone), file(TEXT), None)] == [
        (CreateRouteServer("rs1", "hub", RS1.instances), "the lab was changed while it ran"),
        (PutPeer("rs1", "nva1", 65001, NVA1), "comes with route-server rs1"),
    ]
    assert undo(now(gone)) == tuple(step.change for step in plan(now(gone), file(TEXT), None))
    switched = carry_out(LAB, LAB.azure, [SetRouteServerSettings("rs1", True)]).azure
    edited = file(TEXT.replace("peers: [nva1]", "peers: [nva1], hub_routing_preference: ASPath"))
    (step,) = plan(now(switched), edited, None)
    assert (step.what, step.reason) == (
        "branch-to-branch on → off, hub routing preference ExpressRoute → ASPath",
        "the file is edited, and the lab was changed",
    )
    assert plan(now(), file(TEXT), None) == ()


def test_the_variant_is_the_one_that_runs(file: Callable[[str], str]) -> None:
    path = file(TEXT)
    for running, asked, wanted in (("", None, 0), ("other", None, 1), ("", "other", 1), ("other", "", 0)):
        assert len(plan(now(variant=running), path, asked)) == wanted, (running, asked)


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("[{]", "line 1: expecting property name", "`labkit changes --format json` prints such a list."),
        ("[" * 100_000, "too many brackets.", "`labkit changes --format json` prints such a list."),
        ("[" * (1 << 21), "longer than 1,048,576 bytes", ""),
        ('[{"change": "Explode"}]', "change 1: Explode does not exist.", "The changes: SetRouteServerSettings, "),
        (
            json.dumps(to_json([SetRouteServerSettings("rs1", True), DeletePeer("rs1", "nva2")])),
            "route server rs1 has no peer nva2.",
            "Its peers are: nva1.",
        ),
        (TEXT.replace("name: apply", "name: apply\nbogus: 1"), 'unknown key "bogus"', ""),
        (
            TEXT.replace("nva2: {", "nva3: {"),
            (
                "this needs other nodes and links than the running lab has.\n"
                "NVA nva2 is gone: no change removes its node or link.\n"
                "NVA nva3 is new: it has no node or link in the running lab."
            ),
            "`labkit whatif` tries changes of what is there.",
        ),
    ],
)
def test_what_is_refused(file: Callable[[str], str], text: str, message: str, remedy: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        plan(now(), file(text), None)
    assert message in caught.value.message
    assert caught.value.remedy.startswith(remedy)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InvalidInput, match="not UTF-8 text"):
        plan(now(), str(tmp_path / "file"), None)
