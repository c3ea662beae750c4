"""Names as people have them in Azure, in a running lab: tables have them, verbs take them in any case, or handles."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from labkit.names import handle, interface
from labkit.pytest import Boot, RunningLab
from tests.e2e.in_lab import lab_file, nothing_differs, problems
from tests.e2e.waiting import SOON, eventually
from tests.verbs import in_process

HUB, SPOKE = "VNet_Hub.Prod-WestEurope_of.the-platform-team-and-of-64-letters_", "br1"
SERVER, GATEWAY = "RS_Hub.Prod-WestEurope-001", "ErGw_Hub.Prod-WestEurope_"
CIRCUIT = "ExpressRoute.Circuit_Frankfurt-to-WestEurope-of-the-provider-with-the-name-of-80"
TABLE = "RT_Workload.behind-the-load-balancer-in-front-of-both-appliances_this-name-has-8"
FIRST, SECOND = (f"nva-firewall.prod-westeurope-of-the-platform-team_{number}" for number in ("01", "02"))
BRANCH, DC = "Branch.Office_Hamburg", "Data.Center_Frankfurt"
VM, FRONT = "vm-Shop.Prod_WestEurope-frontend-01", "nic.Front_"
OTHER, NAMESAKE = "eth0", "nva-dcqgk-01"
"""`NAMESAKE` is the name of a machine, and the handle of `FIRST`."""


@pytest.fixture(scope="module")
def lab(labkit_lab: Boot) -> Iterator[RunningLab]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_LAB", "names")
        yield labkit_lab(lab_file("names"))


def labkit(*words: str) -> str:
    """What a verb prints."""
    status, output, messages = in_process(words)
    assert status == 0, messages
    return output + messages


@pytest.mark.both_runtimes
def test_everything_is_as_the_rules_have_it(lab: RunningLab) -> None:
    assert handle(FIRST) == NAMESAKE != handle(NAMESAKE)
    assert problems(lab, SOON) == []
    nothing_differs(lab)


@pytest.mark.both_runtimes
def test_nodes_have_handles(lab: RunningLab) -> None:
    shown = json.loads(labkit("status", "--format", "json"))["nodes"]
    assert {each["name"]: each["handle"] for each in shown} == {
        name: handle(name)
        for name in (
            "controller", HUB, SPOKE, f"{SERVER}-0", f"{SERVER}-1", FIRST, SECOND, f"{GATEWAY}-0", f"{GATEWAY}-1",
            CIRCUIT, BRANCH, DC, f"{BRANCH}-host", f"{DC}-host", "internet", VM, OTHER, NAMESAKE,
        )
    }  # fmt: skip
    assert [SECOND, handle(SECOND)] in [line.split()[:2] for line in labkit("status").splitlines()]
    assert {lab.client.run(name, "hostname").stdout.strip() for name in (FIRST, NAMESAKE, OTHER)} == {
        handle(FIRST), handle(NAMESAKE), handle(OTHER),
    }  # fmt: skip
    ports = {each["ifname"] for each in json.loads(lab.client.run(HUB, "ip", "-j", "link").stdout)}
    assert {
        handle(SPOKE),
        handle(FIRST),
        handle(f"{SERVER}-0"),
        interface(VM, 0),
        interface(VM, 1),
        interface(FIRST, 1),
    } <= ports


def test_tables_have_the_names_of_the_lab_file(lab: RunningLab) -> None:
    assert f"\n{FIRST} " in labkit("route-server", "peering", "list", SERVER)
    shown = labkit("trace", OTHER, DC)
    assert (CIRCUIT in shown, handle(CIRCUIT) in shown) == (True, False)
    described = lab.client.run(SECOND, "vtysh", "-c", "show bgp neighbors").stdout
    assert {f"  Description:    {name}" for name in (f"{SERVER}-0", f"{SERVER}-1", BRANCH)} <= {
        *lab.client.run(FIRST, "birdc", "show", "protocols", "all").stdout.splitlines()
    }
    assert {f" Description: {name}" for name in (f"{SERVER}-0", f"{SERVER}-1", BRANCH)} <= {*described.splitlines()}


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize(
    ("words", "same"),
    [
        (("effective-routes", VM), ("effective-routes", f"{handle(VM)}/NIC.front_")),
        (("effective-routes", NAMESAKE), ("effective-routes", NAMESAKE.upper())),
        (("effective-routes", SECOND), ("effective-routes", handle(SECOND).upper())),
        (("learned-routes", SERVER, SECOND), ("learned-routes", SERVER.lower(), handle(SECOND))),
        (("advertised-routes", SERVER, FIRST), ("advertised-routes", handle(SERVER), FIRST.upper())),
        (("gateway", "learned-routes", GATEWAY), ("gateway", "learned-routes", GATEWAY.upper())),
        (
            ("gateway", "advertised-routes", GATEWAY, CIRCUIT),
            ("gateway", "advertised-routes", handle(GATEWAY), handle(CIRCUIT)),
        ),
        (
            ("whatif", "nva", "exports", FIRST, f"{{to: {SERVER}, set: {{prepend: 2}}}}"),
            ("whatif", "nva", "exports", FIRST.upper(), f"{{to: {handle(SERVER)}, set: {{prepend: 2}}}}"),
        ),
        (
            ("whatif", "nva", "advertise", SECOND, "10.9.0.0/16"),
            ("whatif", "nva", "advertise", handle(SECOND), "10.9.0.0/16"),
        ),
        (("route-server", "show", SERVER), ("route-server", "show", handle(SERVER))),
        (("trace", OTHER, DC), ("trace", handle(OTHER), DC.upper())),
        (("whatif", "nva", "prepend", SECOND, "1"), ("whatif", "nva", "prepend", handle(SECOND), "1")),
        (
            ("whatif", "route-table", "add", TABLE, "10.99.0.0/16", SECOND),
            ("whatif", "route-table", "add", TABLE.lower(), "10.99.0.0/16", handle(SECOND)),
        ),
        (
            ("whatif", "vnet", "peering", "delete", HUB, SPOKE),
            ("whatif", "vnet", "peering", "delete", handle(HUB), SPOKE.upper()),
        ),
        (
            ("whatif", "nic", "update", f"{VM}/{FRONT}", "--ip-forwarding", "on"),
            ("whatif", "nic", "update", f"{VM.upper()}/{FRONT.upper()}", "--ip-forwarding", "on"),
        ),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_verbs_take_names_in_any_case_and_handles(words: tuple[str, ...], same: tuple[str, ...]) -> None:
    assert labkit(*words) == labkit(*same) != ""


def test_changes_are_of_the_objects_that_are_meant(lab: RunningLab) -> None:
    assert f" {SERVER}: branch-to-branch off → on" in labkit(
        "route-server", "update", handle(SERVER), "--branch-to-branch", "on"
    )
    try:
        labkit("route-table", "dissociate", f"{SPOKE.upper()}/SNET.workload_")
        labkit("route-server", "peering", "delete", SERVER.upper(), handle(SECOND))
        shown = json.loads(labkit("changes", "--format", "json"))
        assert [each.get("routeServer") or each["virtualNetwork"] for each in shown] == [SERVER, SERVER, SPOKE]
        labkit("route-server", "peering", "create", SERVER.upper(), handle(SECOND))
        labkit("route-table", "associate", TABLE.upper(), f"{SPOKE}/snet.WORKLOAD_")
        assert len(json.loads(labkit("changes", "--format", "json"))) == 1
    finally:
        labkit("reset")
    assert problems(lab, SOON) == []


def as_paths(prefix: str) -> dict[str, set[str]]:
    """The AS paths of a prefix at both instances of the route server, by the appliance that it is from."""
    found = {}
    for nva in (FIRST, SECOND):
        table = json.loads(labkit("learned-routes", SERVER, nva, "--format", "json"))
        found[nva] = {row["asPath"] for rows in table.values() for row in rows if row["network"] == prefix}
    return found


@pytest.mark.both_runtimes
def test_what_appliances_advertise_changes_and_outlives_their_nodes(lab: RunningLab) -> None:
    """In both daemons: a rule of the export policy, and a prefix that is originated."""
    asns = {FIRST: 65001, SECOND: 65002}
    before = {nva: {f"{asn}-65010"} for nva, asn in asns.items()}
    changed = {nva: {f"{asn}-{asn}-{asn}-65010"} for nva, asn in asns.items()}
    originated = {nva: {str(asn)} for nva, asn in asns.items()}
    eventually(lambda: as_paths("10.250.0.0/16"), lambda found: found == before)
    try:
        for nva in asns:
            labkit("nva", "exports", nva, f"{{to: {SERVER.lower()}, prefix: 10.250.0.0/16, set: {{prepend: 2}}}}")
            labkit("nva", "advertise", nva, "10.253.0.0/16")

        def is_so() -> bool:
            return as_paths("10.250.0.0/16") == changed and as_paths("10.253.0.0/16") == originated

        eventually(is_so, bool)
        for nva in asns:
            labkit("stop", nva)
        for nva in asns:
            labkit("start", nva)
        eventually(is_so, bool)
        nothing_differs(lab)
    finally:
        labkit("reset")
    eventually(lambda: as_paths("10.250.0.0/16"), lambda found: found == before)
    assert problems(lab, SOON) == []


@pytest.mark.both_runtimes
def test_a_node_is_switched_and_entered_by_any_of_its_names(lab: RunningLab) -> None:
    assert f" {OTHER} is off." in labkit("stop", handle(OTHER).upper())
    labkit("start", OTHER.upper())
    assert problems(lab, SOON) == []
    assert labkit("logs", SECOND.upper()) == labkit("logs", handle(SECOND)) != ""
    argv = [sys.executable, "-m", "labkit.cli.main", "exec"]
    for name, host in (
        (SECOND.upper(), handle(SECOND)),
        (handle(SECOND), handle(SECOND)),
        (NAMESAKE, handle(NAMESAKE)),
    ):
        done = subprocess.run([*argv, name, "--", "hostname"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, f"{host}\n"), done.stderr
    status, _, messages = in_process(["stop", "nobody"])
    assert (status, SECOND in messages) == (2, True)
