"""`labkit whatif` before a change, and the change itself: what was predicted comes true for every NIC and ping."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from ipaddress import IPv4Network
from operator import eq
from typing import Any

import pytest

from labkit.azure.rules.rows import effective_json
from labkit.cli.app import run as labkit
from labkit.lab.plan.nodes import target_address
from labkit.operate.diff.run import differences
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
from tests.e2e.in_lab import configure, lab_file, problems, run, variant
from tests.e2e.waiting import eventually

Tables = dict[str, dict[IPv4Network, Any]]

NOTHING = ("branch-to-branch", "off")
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
    eventually(lambda: differing(lab, tables), lambda found: not found, 30)
    assert problems(lab, 30) == []
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
        eventually(answered, partial(eq, wanted), 30, f"{source} → {target}: {wanted}")


def delivered(ways: Iterable[Way]) -> bool:
    return all(way.delivered for way in ways)


def whole(lab: RunningLab, words: str) -> tuple[Outlook, Tables]:
    outlook = whatif(lab.lab, lab.client, words.split())
    assert outlook.unsettled == ()
    return outlook, predicted(lab, outlook)


def test_the_branches_meet(lab: RunningLab) -> None:
    outlook, tables = whole(lab, "branch-to-branch on")
    assert outlook.titles == ("branch-to-branch of rs1: off → on",)
    assert not outlook.nics, "gateways program NICs whether branch-to-branch is on or not"
    assert {(p.source, p.target) for p in outlook.pairs} >= {("onprem2-host", "onprem1-host")}
    assert {(t.to, str(t.prefix), t.after) for t in outlook.told} >= {("onprem2", "10.250.0.0/16", "12076")}
    lab.client.put("route-servers", "rs1", body={"allowBranchToBranchTraffic": True})
    comes_true(lab, outlook, tables)
    outlook, tables = whole(lab, "--branch-to-branch off rs1")
    lab.client.put("route-servers", "rs1", body={"allowBranchToBranchTraffic": False})
    comes_true(lab, outlook, tables)


def test_reach_is_what_pings_find(lab: RunningLab) -> None:
    live, customers = LiveState(lab.lab, lab.client), CustomerRouters(lab.lab)
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
    outlook, tables = whole(lab, "hub-routing-preference aspath")
    assert {(r.prefix, r.why) for c in outlook.nics for r in c.routes} == {(ONPREM, "preference ASPath")}
    lab.client.put("route-servers", "rs1", body={"hubRoutingPreference": "ASPath"})
    comes_true(lab, outlook, tables)

    outlook, tables = whole(lab, "prepend sdwan-nva 3")
    assert {(r.prefix, r.why) for c in outlook.nics for r in c.routes} == {(ONPREM, "longer path of sdwan-nva")}
    prepend(lab, "sdwan-nva", "set as-path prepend 65001 65001 65001")
    comes_true(lab, outlook, tables)

    outlook, tables = whole(lab, "prepend sdwan-nva -3")
    prepend(lab, "sdwan-nva", "no set as-path prepend")
    comes_true(lab, outlook, tables)

    outlook, tables = whole(lab, "hub-routing-preference ExpressRoute")
    lab.client.put("route-servers", "rs1", body={"hubRoutingPreference": "ExpressRoute"})
    comes_true(lab, outlook, tables)


def prepend(lab: RunningLab, nva: str, command: str) -> None:
    """Change what an appliance tells route servers; it has to be told to say everything again."""
    configure(lab, nva, "route-map to-route-server permit 20", command)
    run(lab, nva, "vtysh", "-c", "clear bgp ipv4 unicast * soft out")


def test_route_tables(lab: RunningLab) -> None:
    before = lab.client.get("route-tables")["from-spoke"]
    outlook, tables = whole(lab, "route from-spoke 10.250.0.0/16 None route from-spoke 192.0.2.0/24 remove")
    assert [change.nics for change in outlook.nics] == [("vm3",)]
    assert {(str(r.prefix), r.why) for r in outlook.nics[0].routes} == {
        ("10.250.0.0/16", "user-defined route"),
        ("192.0.2.0/24", "user-defined route removed"),
    }
    assert [(p.source, p.target, str(*p.after)) for p in outlook.pairs] == [
        ("vm3", "onprem1-host", "dropped at vm3: 10.250.0.0/16 leads to None")
    ]
    lab.client.put("route-tables", "from-spoke", body={**before, "routes": {"10.250.0.0/16": "None"}})
    comes_true(lab, outlook, tables)
    assert not ping(lab.client, "vm3", target_address(lab.lab, "onprem1"))
    lab.client.put("route-tables", "from-spoke", body=before)

    eventually(lambda: whatif(lab.lab, lab.client, NOTHING).unsettled, lambda found: not found)
    outlook, tables = whole(lab, "propagation from-spoke off")
    assert {(c.nics, r.why) for c in outlook.nics for r in c.routes} == {(("vm3",), "BGP propagation off")}
    update = ["route-table", "update", "from-spoke", "--lab", lab.lab.name, "--bgp-propagation"]
    assert labkit([*update, "off"]) == 0
    comes_true(lab, outlook, tables)
    assert labkit([*update, "on"]) == 0
    assert lab.client.get("route-tables")["from-spoke"] == before


RS1, PEER = ("route-servers", "rs1"), ("route-servers", "rs1", "peers", "sdwan-nva")
SPACE, SIDE = ("virtual-networks", "spoke"), ("peerings", "spoke", "hub")
OTHER_SIDE = ("peerings", "hub", "spoke")
Requests = list[tuple[str, tuple[str, ...], Any]]
"""Method, path and body of each."""


@pytest.mark.parametrize(
    ("words", "does", "undoes"),
    [
        (
            "address-space spoke 10.3.0.0/16 10.33.0.0/16",
            [("PUT", SPACE, {"addressPrefixes": ["10.3.0.0/16", "10.33.0.0/16"]})],
            [("PUT", SPACE, {"addressPrefixes": ["10.3.0.0/16"]})],
        ),
        (
            "peering spoke hub use-remote-gateways off",
            [("PUT", SIDE, {"useRemoteGateways": False})],
            [("PUT", SIDE, {"useRemoteGateways": True})],
        ),
        (
            "delete-peering spoke hub",
            [("DELETE", SIDE, None)],
            [("PUT", OTHER_SIDE, {}), ("PUT", SIDE, {"useRemoteGateways": True})],
        ),
        ("delete-peer rs1 sdwan-nva", [("DELETE", PEER, None)], [("PUT", PEER, {})]),
        ("delete-route-server rs1", [("DELETE", RS1, None)], [("POST", RS1, None), ("PUT", PEER, {})]),
    ],
)
def test_what_operators_change(lab: RunningLab, words: str, does: Requests, undoes: Requests) -> None:
    def send(method: str, path: tuple[str, ...], body: Any) -> None:
        if method == "PUT":
            lab.client.put(*path, body=body)
        else:
            {"POST": lab.client.post, "DELETE": lab.client.delete}[method](*path)

    outlook, tables = whole(lab, words)
    assert outlook.nics
    before = effective(lab)
    for request in does:
        send(*request)
    eventually(lambda: differing(lab, tables), lambda found: not found, 30)
    packets_fare_so(lab, outlook)
    eventually(lambda: differences(lab.lab, lab.client), lambda found: not found, 30)
    for request in undoes:
        send(*request)
    eventually(lambda: differing(lab, before), lambda found: not found, 30)
    assert problems(lab, 30) == []


def test_what_comes_through_a_circuit(labkit_runtime: str) -> None:
    """The filter of what route servers relay comes with the sessions: one branch is lost as others are won."""
    with labs_on(labkit_runtime) as boot:
        lab = boot(lab_file("two-hubs"))
        eventually(lambda: "10.250.0.0/16" in str(effective(lab)["vm2"]), lambda there: there, 30)
        for switch, why in ((True, "gone from ergw2"), (False, "learned from ergw2")):
            outlook, tables = whole(lab, f"branch-to-branch {'on' if switch else 'off'} rs2")
            found = {(c.nics, str(r.prefix), r.why) for c in outlook.nics for r in c.routes}
            assert found == {(("nva2", "vm2", "ergw2-0", "ergw2-1"), "10.250.0.0/16", why)}
            assert ("vm2", "onprem1-host") in {(p.source, p.target) for p in outlook.pairs}
            lab.client.put("route-servers", "rs2", body={"allowBranchToBranchTraffic": switch})
            comes_true(lab, outlook, tables)
            eventually(lambda: differences(lab.lab, lab.client), lambda found: not found, 30)


def test_what_nvas_pass_on(labkit_runtime: str) -> None:
    """Three route servers hear each other through two NVAs alone, and on-premises through circuits: all follow."""
    with labs_on(labkit_runtime) as boot:
        lab = boot("dual-homed-expressroute")
        on, off = {"allowBranchToBranchTraffic": True}, {"allowBranchToBranchTraffic": False}
        for server in ("rs1", "rs0"):
            lost = foretold(lab, f"branch-to-branch off {server}", partial(put_server, lab, server, off))
            back = foretold(lab, f"branch-to-branch on {server}", partial(put_server, lab, server, on))
            assert lost.nics
            assert [(t.to, t.by, t.prefix, t.after, t.before) for t in lost.told] == [
                (t.to, t.by, t.prefix, t.before, t.after) for t in back.told
            ], "what was foretold of routers outside is what the way back starts from"
        longer = foretold(lab, "prepend csr1 3", lambda: prepend(lab, "csr1", "set as-path prepend 65001 65001 65001"))
        assert ("csr2", "rs0", "10.2.13.0/25") in {(t.to, t.by, str(t.prefix)) for t in longer.told}
        # By hand, so not in the lab file: it goes along with what is foretold next.
        foretold(lab, "branch-to-branch off rs1", lambda: put_server(lab, "rs1", off))
        foretold(lab, "branch-to-branch on rs1", lambda: put_server(lab, "rs1", on))


def foretold(lab: RunningLab, words: str, change: Callable[[], object]) -> Outlook:
    """Foretell a change, do it, and see it come true: routes, packets, and what everybody outside is told."""
    outlook, tables = whole(lab, words)
    assert outlook.followed
    assert not outlook.nothing
    change()
    eventually(lambda: differing(lab, tables), lambda found: not found, 30)
    packets_fare_so(lab, outlook)
    eventually(lambda: differences(lab.lab, lab.client), lambda found: not found, 30)
    return outlook


def put_server(lab: RunningLab, name: str, body: dict[str, bool]) -> None:
    lab.client.put("route-servers", name, body=body)


def test_the_command(lab: RunningLab, capsys: pytest.CaptureFixture[str]) -> None:
    name = lab.lab.name
    assert labkit(["whatif", "--lab", name, "--route", "from-spoke", "0.0.0.0/0", "sdwan-nva"]) == 0
    printed = capsys.readouterr().out
    assert "What if  0.0.0.0/0 in route table from-spoke: none → 10.1.1.4" in printed
    assert "Effective routes of vm3" in printed
    assert labkit(["whatif", "propagation", "from-spoke", "off", "--format", "json", "--lab", name]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["nics"][0]["nics"] == ["vm3"]
    assert labkit(["whatif", "--peering", "hub", "spoke", "allow-gateway-transit", "off", "--lab", name]) == 2
    refused = capsys.readouterr().err
    assert "Azure would refuse that: peering spoke to hub can't use remote gateways" in refused
    assert labkit(["whatif", "branch-to-branch", "of", "--lab", name]) == 2
    assert "of is neither on nor off" in capsys.readouterr().err
