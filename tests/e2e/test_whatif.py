"""`labkit whatif` before a change, and the change itself: what was predicted comes true for every NIC and ping."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable
from functools import partial
from ipaddress import IPv4Network
from operator import eq
from pathlib import Path
from typing import Any

import pytest

from labkit.azure.rules.rows import effective_json
from labkit.cli.app import run as labkit
from labkit.cli.changing import Trial
from labkit.cli.whatif import attempt
from labkit.lab.plan.nodes import target_address
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.probes import ping
from labkit.operate.look.snapshot import by_prefix, customer_adj_ribs_out, read
from labkit.operate.whatif import Outlook, whatif
from labkit.predict.azure_speakers import AzureSpeakers
from labkit.predict.converge import CustomerRouters
from labkit.predict.whatif.model import Side
from labkit.predict.whatif.reach import predicted as reach_of
from labkit.predict.whatif.reach import sources, targets
from labkit.predict.whatif.ways import Way
from labkit.pytest import Boot, RunningLab, labs_on
from labkit.resources import topologies
from tests.e2e.in_lab import lab_file, nothing_differs, problems, variant
from tests.e2e.waiting import SOON, eventually

Tables = dict[str, dict[IPv4Network, Any]]

NOTHING = "route-server update rs1 --branch-to-branch off"
"""What is so already."""

ONPREM = IPv4Network("10.2.0.0/16")

SPOKE = """
  spoke:
    address_space: 10.3.0.0/16
    subnets: {work: {prefix: 10.3.1.0/24, route_table: from-spoke}}

route_tables:
  from-spoke: {routes: {192.0.2.0/24: None}}

peerings:
  - {between: [spoke, hub], use_remote_gateways: spoke, allow_gateway_transit: hub}

route_servers:"""

CHANGES = {
    "sdwan-nva: {": "sdwan-nva: {advertises: [10.2.0.0/16], ",
    "\nroute_servers:": SPOKE,
    "  vm2: hub/workload": "  vm2: hub/workload\n  vm3: spoke/work",
}
"""The appliance claims the other branch's prefix, so that preferences and paths decide; a spoke uses the hub."""

PROOFS = """
proofs:
  - session: {on: rs1, with: sdwan-nva}
  - session: {on: ergw, with: circuit1}
  - learned_route: {on: ergw, prefix: 10.2.0.0/16, from: circuit1}
  - learned_route: {on: rs1, prefix: 10.250.0.0/16, from: sdwan-nva}
  - learned_route: {on: onprem1, prefix: 10.1.0.0/16, from: sdwan-nva}
  - learned_route: {on: onprem2, prefix: 10.1.0.0/16, from: circuit1}
"""


@pytest.fixture(scope="module")
def lab(labkit_lab: Boot, tmp_path_factory: pytest.TempPathFactory) -> RunningLab:
    changes = CHANGES | {"name: expressroute": "name: er-whatif"}
    file = variant(topologies() / "expressroute" / "lab.yml", tmp_path_factory.mktemp("lab"), changes)
    # Its proofs are of the lab without these changes. These hold whatever is tried.
    file.write_text(file.read_text().partition("\nproofs:")[0] + PROOFS)
    return labkit_lab(file)


def predicted(lab: RunningLab, outlook: Outlook) -> Tables:
    """The effective routes of every NIC now, with what is predicted of them."""
    tables = effective(lab)
    for change in outlook.nics:
        for nic in change.nics:
            for route in change.routes:
                assert tables[nic].pop(route.prefix, None) == shown(route.before).get(route.prefix), (nic, route)
                tables[nic] |= shown(route.after)
    return tables


def shown(rows: Any) -> dict[IPv4Network, Any]:
    return by_prefix(effective_json(rows)["value"])


def effective(lab: RunningLab) -> Tables:
    return {nic: by_prefix(lab.client.get("effective-routes", nic)["value"]) for nic in lab.lab.azure.nic}


def differing(lab: RunningLab, tables: Tables) -> list[str]:
    """The rows in which the lab is not as predicted."""
    now = effective(lab)
    return [
        f"{nic} {prefix}: {now[nic].get(prefix)}, predicted {tables[nic].get(prefix)}"
        for nic in tables
        for prefix in tables[nic].keys() | now[nic].keys()
        if tables[nic].get(prefix) != now[nic].get(prefix)
    ]


def comes_true(lab: RunningLab, outlook: Outlook, tables: Tables) -> None:
    """Every NIC has what was predicted of it, kernels and fabrics follow, and machines reach whom they should."""
    eventually(lambda: differing(lab, tables), lambda found: not found)
    assert problems(lab, SOON) == []
    packets_fare_so(lab, outlook)


def packets_fare_so(lab: RunningLab, outlook: Outlook) -> None:
    """Machines reach whom they are predicted to."""
    ways = {(p.source, p.target): delivered(p.after) for p in outlook.pairs}
    for (source, target), there in ways.items():
        back = ways.get((target, source))
        if back is None:
            continue  # whether the answer comes back is not in the prediction: it is as it was
        wanted = there and back
        answered = partial(ping, lab.client, source, target_address(lab.lab, target))
        eventually(answered, partial(eq, wanted), what=f"{source} → {target}: {wanted}")


def delivered(ways: Iterable[Way]) -> bool:
    return all(way.delivered for way in ways)


def advertised_otherwise(lab: RunningLab, outlook: Outlook) -> list[str]:
    """What route servers do not advertise to their peers as it is predicted."""
    found = []
    for change in outlook.advertised:
        if change.by not in lab.lab.azure.route_server:
            continue
        for instance, rows in lab.client.get("advertised-routes", change.by, change.to).items():
            paths = {row["network"]: row["asPath"] for row in rows}
            path = paths.get(str(change.prefix), "-")
            if path != change.after:
                found.append(f"{change.by} {instance} to {change.to}: {change.prefix} {path}, predicted {change.after}")
    return found


def tried(lab: RunningLab, words: str) -> Outlook:
    """What is predicted of command lines, as `labkit whatif` reads them."""
    trial = Trial(lab.lab.name)
    attempt(trial, shlex.split(words))
    return whatif(lab.lab, lab.client, trial.changes, trial.prepends)


def do(lab: RunningLab, words: str) -> None:
    """Run the command lines that were tried."""
    for line in words.split(", "):
        assert labkit([*shlex.split(line), "--lab", lab.lab.name]) == 0, line


def whole(lab: RunningLab, words: str) -> tuple[Outlook, Tables]:
    outlook = tried(lab, words)
    assert outlook.unsettled == ()
    return outlook, predicted(lab, outlook)


def test_the_branches_meet(lab: RunningLab) -> None:
    on = "route-server update --branch-to-branch on"
    outlook, tables = whole(lab, on)
    assert not outlook.nics, "gateways program NICs whether branch-to-branch is on or not"
    assert {(p.source, p.target) for p in outlook.pairs} >= {("onprem2-host", "onprem1-host")}
    assert {(t.to, str(t.prefix), t.after) for t in outlook.advertised} >= {("onprem2", "10.250.0.0/16", "12076")}
    do(lab, on)
    comes_true(lab, outlook, tables)
    outlook, tables = whole(lab, "reset")
    do(lab, "reset")
    comes_true(lab, outlook, tables)


def test_reach_is_what_pings_find(lab: RunningLab) -> None:
    live, customers = LiveState(lab.lab, lab.client), CustomerRouters(lab.lab, lab.lab.azure)
    snapshot = read(live)
    received = snapshot.adj_ribs_in
    advertised = customer_adj_ribs_out(customers, live, received)
    routers = customers.state(AzureSpeakers(snapshot.azure, received), advertised)
    reach = reach_of(lab.lab, Side(snapshot.azure, received, routers))
    ends = targets(lab.lab)
    answered = {(a, b): delivered(reach.ways(a, ends[b])) for a in sources(lab.lab) for b in ends if a != b}
    assert set(answered.values()) == {True, False}
    for (a, b), there in answered.items():
        assert ping(lab.client, a, ends[b]) is (there and answered[b, a]), (a, b)


def test_preference_and_prepend(lab: RunningLab) -> None:
    aspath = "route-server update rs1 --hub-routing-preference aspath"
    outlook, tables = whole(lab, aspath)
    assert {(r.prefix, r.why) for c in outlook.nics for r in c.routes} == {(ONPREM, "preference ASPath")}
    do(lab, aspath)
    comes_true(lab, outlook, tables)

    outlook, tables = whole(lab, "nva prepend sdwan-nva 3")
    assert {(r.prefix, r.why) for c in outlook.nics for r in c.routes} == {(ONPREM, "longer path of sdwan-nva")}
    exports(lab, "sdwan-nva", "{set: {prepend: 3}}")
    comes_true(lab, outlook, tables)

    outlook, tables = whole(lab, "nva prepend sdwan-nva -3")
    exports(lab, "sdwan-nva")
    comes_true(lab, outlook, tables)

    outlook, tables = whole(lab, "reset")
    do(lab, "reset")
    comes_true(lab, outlook, tables)


def exports(lab: RunningLab, nva: str, *rules: str) -> None:
    """Set an appliance's export policy, which `whatif nva prepend` makes longer or shorter."""
    assert labkit(["nva", "exports", nva, *(rules or ("--clear",)), "--lab", lab.lab.name]) == 0


def test_route_tables(lab: RunningLab) -> None:
    words = "route-table add from-spoke 10.250.0.0/16 None, route-table remove from-spoke 192.0.2.0/24"
    outlook, tables = whole(lab, words)
    assert [change.nics for change in outlook.nics] == [("vm3",)]
    assert {(str(r.prefix), r.why) for r in outlook.nics[0].routes} == {
        ("10.250.0.0/16", "user-defined route"),
        ("192.0.2.0/24", "user-defined route removed"),
    }
    assert [(p.source, p.target, str(*p.after)) for p in outlook.pairs] == [
        ("vm3", "onprem1-host", "dropped at vm3: 10.250.0.0/16 leads to None")
    ]
    do(lab, words)
    comes_true(lab, outlook, tables)
    assert not ping(lab.client, "vm3", target_address(lab.lab, "onprem1"))
    do(lab, "reset")

    eventually(lambda: tried(lab, NOTHING).unsettled, lambda found: not found)
    outlook, tables = whole(lab, "route-table update from-spoke --bgp-propagation off")
    assert {(c.nics, r.why) for c in outlook.nics for r in c.routes} == {(("vm3",), "BGP propagation off")}
    do(lab, "route-table update from-spoke --bgp-propagation off")
    comes_true(lab, outlook, tables)
    do(lab, "route-table update from-spoke --bgp-propagation on")
    assert lab.client.changes() == ()


VERBS = [
    ("vnet update spoke --address-prefixes 10.3.0.0/16 10.33.0.0/16, vnet peering sync hub spoke", "reset"),
    (
        "vnet peering update spoke hub --use-remote-gateways off",
        "vnet peering update spoke hub --use-remote-gateways on",
    ),
    (
        "vnet peering delete spoke hub",
        (
            "vnet peering update hub spoke --allow-gateway-transit on, "
            "vnet peering create spoke hub --use-remote-gateways on"
        ),
    ),
    ("route-server peering delete rs1 sdwan-nva", "route-server peering create rs1 sdwan-nva"),
    ("route-server delete rs1", "route-server create rs1, route-server peering create rs1 sdwan-nva"),
    (
        (
            "route-table create detour --bgp-propagation off, route-table add detour 10.250.0.0/16 sdwan-nva, "
            "route-table associate detour spoke/work"
        ),
        "route-table associate from-spoke spoke/work, route-table delete detour",
    ),
    ("route-table dissociate spoke/work", "route-table associate from-spoke spoke/work"),
]
"""Command lines that change the lab, and those that undo them: every verb, tried first and then run."""


@pytest.mark.parametrize(("does", "undoes"), VERBS, ids=[does.partition(" --")[0] for does, _ in VERBS])
def test_whatever_can_be_done_can_be_tried(lab: RunningLab, does: str, undoes: str) -> None:
    before = effective(lab)
    for words in (does, undoes):
        outlook, tables = whole(lab, words)
        assert outlook.nics
        do(lab, words)
        eventually(lambda tables=tables: differing(lab, tables), lambda found: not found)  # type: ignore[misc]
        packets_fare_so(lab, outlook)
        nothing_differs(lab)
    assert differing(lab, before) == []
    assert lab.client.changes() == ()
    assert problems(lab, SOON) == []


def test_a_list_of_changes_is_applied_whole(
    lab: RunningLab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `changes` prints, `apply` takes; `whatif apply` predicts it, and a list with a mistake changes nothing."""
    do(lab, "route-server update rs1 --hub-routing-preference aspath, route-table add from-spoke 10.250.0.0/16 None")
    capsys.readouterr()
    assert labkit(["changes", "--format", "json", "--lab", lab.lab.name]) == 0
    file = tmp_path / "changes.json"
    file.write_text(capsys.readouterr().out)
    made = effective(lab)
    do(lab, "reset")
    eventually(lambda: tried(lab, NOTHING).unsettled, lambda found: not found)

    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps([*json.loads(file.read_text()), {"change": "DeletePeer", "routeServer": "rs1"}]))
    assert labkit(["apply", str(wrong), "--lab", lab.lab.name]) == 2
    assert "change 3: DeletePeer.name: field required." in capsys.readouterr().err
    wrong.write_text(wrong.read_text().replace('"rs1"}]', '"rs1", "name": "nobody"}]'))
    assert labkit(["apply", str(wrong), "--lab", lab.lab.name]) == 2
    assert "route server rs1 has no peer nobody." in capsys.readouterr().err
    assert lab.client.changes() == ()

    outlook, tables = whole(lab, f"apply {file}")
    assert {nic for change in outlook.nics for nic in change.nics} >= {"vm1", "vm3"}
    do(lab, f"apply {file}")
    comes_true(lab, outlook, tables)
    assert differing(lab, made) == []
    do(lab, "reset")
    eventually(lambda: tried(lab, NOTHING).unsettled, lambda found: not found)


def test_a_lab_converges_to_its_edited_file(
    lab: RunningLab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By as little as possible, sessions stay up; what was changed meanwhile is undone; other labs are refused."""
    text = Path(lab.client.record.lab_file).read_text()
    file = tmp_path / "edited.lab.yml"
    edited = text.replace("peers: [sdwan-nva]", "peers: [sdwan-nva], hub_routing_preference: ASPath")
    edited = edited.replace("{192.0.2.0/24: None}", "{10.250.0.0/16: None}")
    assert edited.count("ASPath") == edited.count("10.250.0.0/16: None") == 1
    file.write_text(edited)
    do(lab, "vnet peering update spoke hub --allow-forwarded-traffic off")
    since = {(s["peer"], s["instance"]): s["since"] for s in lab.client.get("status")["sessions"]}
    capsys.readouterr()

    apply = ["apply", str(file), "--lab", lab.lab.name]
    assert labkit([*apply, "--dry-run"]) == 0
    plan = [line.split("  ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [[cell.strip() for cell in row if cell] for row in plan] == [
        ["peering", "spoke to hub", "allowForwardedTraffic off → on", "the lab was changed while it ran"],
        ["route-server", "rs1", "hub routing preference ExpressRoute → ASPath", "the file is edited"],
        ["route-table", "from-spoke", "route 192.0.2.0/24 deleted: it was None", "the file is edited"],
        ["route-table", "from-spoke", "route 10.250.0.0/16 created: None", "the file is edited"],
    ]
    assert len(lab.client.changes()) == 1, "nothing is done yet"

    outlook, tables = whole(lab, f"apply {file}")
    assert labkit(apply) == 0
    assert "4 changes made." in capsys.readouterr().err
    comes_true(lab, outlook, tables)
    assert {(s["peer"], s["instance"]): s["since"] for s in lab.client.get("status")["sessions"]} == since
    assert labkit(apply) == 0
    assert capsys.readouterr().out == "Nothing to change.\n"

    made = lab.client.changes()
    renamed = edited.replace(f"name: {lab.lab.name}\n", "name: elsewhere\n").replace("ASPath", "VpnGateway")
    assert renamed.count("name: elsewhere") == 1
    file.write_text(renamed)
    assert labkit(apply) == 2
    assert (
        f"the file is of lab elsewhere, and this is lab {lab.lab.name}; nothing was changed" in capsys.readouterr().err
    )
    assert lab.client.changes() == made
    do(lab, "reset")
    eventually(lambda: tried(lab, NOTHING).unsettled, lambda found: not found)


def test_what_comes_through_a_circuit(labkit_runtime: str) -> None:
    """The filter of what route servers relay comes with the sessions: one branch is lost as others are won."""
    with labs_on(labkit_runtime) as boot:
        lab = boot(lab_file("two-hubs"))
        eventually(lambda: "10.250.0.0/16" in str(effective(lab)["vm2"]), lambda there: there)
        for switch, why in ((True, "gone from ergw2"), (False, "learned from ergw2")):
            words = f"route-server update rs2 --branch-to-branch {'on' if switch else 'off'}"
            outlook, tables = whole(lab, words)
            found = {(c.nics, str(r.prefix), r.why) for c in outlook.nics for r in c.routes}
            assert found == {(("nva2", "vm2", "ergw2-0", "ergw2-1"), "10.250.0.0/16", why)}
            assert ("vm2", "onprem1-host") in {(p.source, p.target) for p in outlook.pairs}
            do(lab, words)
            comes_true(lab, outlook, tables)
            nothing_differs(lab)


def foretold(lab: RunningLab, words: str, change: Callable[[], object] | None = None) -> Outlook:
    """Predict command lines, run them or do as they would, and see it come true: routes, packets, advertisements."""
    outlook, tables = whole(lab, words)
    assert outlook.followed
    assert not outlook.nothing
    if change is None:
        do(lab, words)
    else:
        change()
    # First what takes longest to come, and can't be so before the change: NICs may stay as they are.
    eventually(lambda: advertised_otherwise(lab, outlook), lambda found: not found)
    eventually(lambda: differing(lab, tables), lambda found: not found)
    packets_fare_so(lab, outlook)
    nothing_differs(lab)
    return outlook


def test_the_command(lab: RunningLab, capsys: pytest.CaptureFixture[str]) -> None:
    name = lab.lab.name
    words = ["route-table", "add", "from-spoke", "0.0.0.0/0", "sdwan-nva"]
    assert labkit(["whatif", "--lab", name, *words]) == 0
    printed = capsys.readouterr().out
    assert "What if  from-spoke: route 0.0.0.0/0 created: 10.1.1.4" in printed
    assert "Effective routes of vm3" in printed
    off = ["route-table", "update", "from-spoke", "--bgp-propagation", "off", "--lab", name]
    assert labkit(["whatif", "--format", "json", *words, ",", *off]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["changes"] == [
        "from-spoke: route 0.0.0.0/0 created: 10.1.1.4",
        "from-spoke: BGP propagation on → off",
    ]
    assert document["nics"][0]["nics"] == ["vm3"]
    assert labkit(["whatif", "vnet", "peering", "update", "hub", "spoke", "--allow-gateway-transit", "off"]) == 2
    refused = capsys.readouterr().err
    assert "Azure would refuse that: peering spoke to hub can't use remote gateways" in refused
    assert labkit(["whatif", "route-server", "show"]) == 2
    assert "unknown command: show" in capsys.readouterr().err
    assert lab.client.changes() == ()
