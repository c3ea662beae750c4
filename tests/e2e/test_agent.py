"""The agent in real kernels: namespaces made here, a feed served here, `ip` as the witness."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.azure.model import NextHopType
from labkit.controller.tables import Table, diff
from labkit.feed.tables import AgentDelta, AgentSnapshot, NextHops
from tests.e2e.agent_vm import (
    INTERNET,
    LOCAL,
    NOWHERE,
    PEERED,
    PROTOCOL,
    FakeController,
    Monitor,
    Vm,
    delta,
    eventually,
    via,
    wire,
)
from tests.unit.feed.wire import written

A, B, C = "10.1.1.4", "10.1.1.5", "10.1.2.4"
BRANCH = "10.250.0.0/16"


@pytest.fixture
def vm(tmp_path: Path) -> Iterator[Vm]:
    vm = Vm(tmp_path)
    vm.controller.start()
    yield vm
    vm.close()


@pytest.fixture
def running(vm: Vm) -> Vm:
    vm.plug()
    vm.start_agent()
    return vm


@pytest.fixture
def monitor(running: Vm) -> Iterator[Monitor]:
    monitor = Monitor(running)
    yield monitor
    monitor.close()


def many(count: int) -> list[str]:
    return [f"20.{n >> 8}.{n & 255}.0/24" for n in range(count)]


def test_every_next_hop_type(running: Vm) -> None:
    assert not running.ready.exists()
    groups = {
        1: LOCAL,
        2: PEERED,
        3: via(A),
        4: via(C),
        5: via(B, A),
        6: NOWHERE,
        7: INTERNET,
        8: ("VirtualAppliance", C),
    }
    routes = {
        "10.1.0.0/16": 1, "10.2.0.0/16": 2, BRANCH: 3, "0.0.0.0/0": 4, "10.251.0.0/16": 5, "10.0.0.0/8": 6,
        "198.51.100.0/24": 7, "203.0.113.7/32": 8,
    }  # fmt: skip
    assert running.controller.snapshot(groups, routes) is None
    assert running.own() == {
        "10.1.0.0/16": "on-link", "10.2.0.0/16": "on-link", BRANCH: f"via {A}", "default": f"via {C}",
        "10.251.0.0/16": f"via {A}, {B}", "10.0.0.0/8": "via 10.1.10.1", "198.51.100.0/24": "via 10.1.10.1",
        "203.0.113.7": f"via {C}",
    }  # fmt: skip
    eventually(running.ready.exists, "the agent says it is ready")
    shown = running.ip("route", "show", BRANCH)
    assert f" via {A} dev eth0 proto 65 onlink" in shown, "one next hop reads as a plain route"
    assert f"via {C} dev eth0" in running.ip("route", "get", "192.0.2.1")
    assert "dev eth0 src 10.1.10.4" in running.ip("route", "get", "10.1.77.7")


def test_change_and_withdrawal(running: Vm) -> None:
    tell = running.controller
    assert tell.snapshot({1: via(A), 2: via(C)}, {BRANCH: 1, "0.0.0.0/0": 2}) is None
    assert tell.delta({3: INTERNET}, {"0.0.0.0/0": 3}, removed_groups=[2]) is None
    assert running.own() == {BRANCH: f"via {A}", "default": "via 10.1.10.1"}
    assert tell.delta({}, {"10.9.0.0/16": 3}, [BRANCH], [1]) is None
    assert running.own() == {"10.9.0.0/16": "via 10.1.10.1", "default": "via 10.1.10.1"}
    assert running.nexthops() == []
    assert tell.delta({4: via(C)}, {"0.0.0.0/0": 4}) is None
    assert running.own() == {"10.9.0.0/16": "via 10.1.10.1", "default": f"via {C}"}
    assert tell.snapshot({}, {}) is None
    assert running.own() == {}
    assert running.nexthops() == []


def test_a_changed_route_is_never_missing(running: Vm, monitor: Monitor) -> None:
    assert running.controller.snapshot({1: via(A), 2: INTERNET}, {BRANCH: 1}) is None
    monitor.lines()
    assert running.controller.delta({}, {BRANCH: 2}, removed_groups=[1]) is None
    made, gone, *nexthops = monitor.lines()
    assert made.startswith(f"{BRANCH} via 10.1.10.1")
    assert gone.startswith(f"Deleted {BRANCH} nhid")
    assert all(line.startswith("Deleted id") for line in nexthops)


def test_failover_is_one_message(running: Vm, monitor: Monitor) -> None:
    prefixes = many(500)
    assert running.controller.snapshot({1: via(A, B)}, dict.fromkeys(prefixes, 1)) is None
    monitor.lines()
    assert running.controller.delta({1: via(A)}) is None
    lines = monitor.lines()
    set_groups = [line for line in lines if line.startswith("id") and "group" in line]
    assert len(set_groups) == 1
    assert not [line for line in lines if line.startswith("Deleted") and "/24" in line]
    assert running.own() == dict.fromkeys(prefixes, f"via {A}")
    assert running.controller.delta({1: via(C)}) is None
    assert running.own() == dict.fromkeys(prefixes, f"via {C}")
    assert running.controller.delta({1: via(A, B, C)}) is None
    assert running.own() == dict.fromkeys(prefixes, f"via {A}, {B}, {C}")
    assert len(running.nexthops()) == 4


def test_ten_thousand_routes(running: Vm) -> None:
    prefixes = many(10_000)
    halves = {prefix: 1 + n % 2 for n, prefix in enumerate(prefixes)}
    assert running.controller.snapshot({1: via(A), 2: via(A, B)}, halves) is None
    assert list(running.own().values()).count(f"via {A}") == 5_000
    assert running.controller.snapshot({1: via(A), 2: via(A, B)}, dict.fromkeys(prefixes[:5], 1)) is None
    assert running.own() == dict.fromkeys(prefixes[:5], f"via {A}")
    log = running.log.read_text()
    assert "10,000 added" in log
    assert len(log.splitlines()) < 40


def test_killed_agent_leaves_the_fib_and_adopts_it(running: Vm, monitor: Monitor) -> None:
    tell = running.controller
    routes = {BRANCH: 1, "0.0.0.0/0": 2, "10.251.0.0/16": 3, "10.0.0.0/8": 4, "10.2.0.0/16": 5}
    hops = [via(A), via(C), via(A, B), NOWHERE, PEERED]
    assert tell.snapshot(dict(enumerate(hops, 1)), routes) is None
    before = running.own(), running.nexthops()
    running.kill_agent()
    running.ready.unlink()
    assert (running.own(), running.nexthops()) == before
    monitor.lines()
    running.start_agent()
    # A new controller counts its groups from the start: the same table under other numbers.
    groups = {11 - n: hop for n, hop in enumerate(hops, 1)}
    assert tell.snapshot(groups, {prefix: 11 - n for prefix, n in routes.items()}) is None
    assert monitor.lines() == []
    assert (running.own(), running.nexthops()) == before
    eventually(running.ready.exists, "the agent says it is ready")
    # What it adopted it can also change.
    assert tell.delta({10: via(B)}) is None
    assert running.own()[BRANCH] == f"via {B}"


def test_only_the_difference_is_changed_after_a_lost_feed(running: Vm, monitor: Monitor) -> None:
    tell = running.controller
    assert tell.snapshot({1: via(A), 2: via(C)}, {BRANCH: 1, "10.251.0.0/16": 1, "0.0.0.0/0": 2}) is None
    tell.stop()
    monitor.lines()
    assert running.own()["default"] == f"via {C}"
    tell.start()
    tell.accept()
    assert tell.snapshot({1: via(B), 7: via(A)}, {BRANCH: 7, "10.251.0.0/16": 7, "0.0.0.0/0": 1}) is None
    lines = monitor.lines()
    assert not [line for line in lines if "Deleted" in line and "/" in line], "a failover found on return is no flap"
    assert not [line for line in lines if "10.25" in line]
    assert running.own() == {BRANCH: f"via {A}", "10.251.0.0/16": f"via {A}", "default": f"via {B}"}


def test_a_gap_in_the_feed_means_a_new_snapshot(running: Vm) -> None:
    tell = running.controller
    assert tell.snapshot({1: via(A)}, {BRANCH: 1}) is None
    tell.seq += 1
    tell.send({"type": "delta", "tables": {}})
    tell.accept()
    assert tell.snapshot({1: via(B)}, {BRANCH: 1}) is None
    assert running.own() == {BRANCH: f"via {B}"}


def test_what_others_own_is_left_alone(vm: Vm) -> None:
    vm.plug()
    vm.ip("nexthop", "add", "id", "1", "via", "10.1.10.9", "dev", "eth0", "protocol", "static")
    vm.ip("route", "add", "192.168.0.0/24", "nhid", "1", "proto", "static")
    vm.ip("route", "add", "192.168.1.0/24", "via", "10.1.10.9", "proto", "static")
    vm.ip("route", "add", BRANCH, "via", "10.1.10.9", "proto", "static")
    vm.ip("route", "add", "192.168.2.0/24", "via", "10.1.10.9", "proto", "static", "table", "77")
    foreign = vm.ip("route", "show", "proto", "static", "table", "all")
    kernel = vm.ip("route", "show", "proto", "kernel")
    vm.start_agent()
    tell = vm.controller
    # 10.1.10.0/24 is the connected subnet: its route is the kernel's own.
    assert tell.snapshot({1: via(A), 2: LOCAL}, {BRANCH: 1, "10.1.10.0/24": 2, "10.251.0.0/16": 1}) is None
    assert vm.own() == {BRANCH: f"via {A}", "10.251.0.0/16": f"via {A}"}
    assert f"via {A}" in vm.ip("route", "get", "10.250.0.1"), "the feed's route is the one in effect"
    for message in ({}, {BRANCH: 2}, {"10.1.10.0/24": 1}):
        assert tell.delta({}, message) is None
        assert vm.ip("route", "show", "proto", "static", "table", "all") == foreign
        assert vm.ip("route", "show", "proto", "kernel") == kernel
    assert tell.snapshot({}, {}) is None
    assert vm.own() == {}
    assert vm.ip("route", "show", "proto", "static", "table", "all") == foreign
    assert "id 1 via 10.1.10.9" in vm.ip("nexthop", "show")


def test_a_hand_made_replacement_survives_and_is_overruled(running: Vm) -> None:
    tell = running.controller
    assert tell.snapshot({1: via(A), 2: via(B)}, {BRANCH: 1}) is None
    running.ip("route", "replace", BRANCH, "via", "10.1.10.66", "dev", "eth0")
    assert running.routes()[BRANCH] == "via 10.1.10.66", "nobody mends it behind the learner's back"
    assert tell.delta({}, {"10.9.0.0/16": 1}) is None
    assert running.routes()[BRANCH] == "via 10.1.10.66", "nor because of something else"
    assert tell.delta({}, {BRANCH: 2}) is None
    assert running.routes()[BRANCH] == f"via {B}"
    assert "10.1.10.66" in running.ip("route", "show", BRANCH)


def test_wrong_leftovers_are_put_right(vm: Vm) -> None:
    vm.plug()
    own = ("proto", "65")
    vm.ip("nexthop", "add", "id", "5", "via", B, "dev", "eth0", "onlink", "protocol", "65")
    vm.ip("nexthop", "add", "id", "6", "group", "5", "protocol", "65")
    vm.ip("nexthop", "add", "id", "7", "via", "10.1.10.9", "dev", "eth0", "protocol", "65")
    vm.ip("nexthop", "add", "id", "8", "group", "5,9/7", "protocol", "65")
    vm.ip("nexthop", "add", "id", "9", "blackhole", "protocol", "65")
    vm.ip("route", "add", BRANCH, "nhid", "6", *own)
    vm.ip("route", "add", "10.251.0.0/16", "nhid", "8", *own)
    vm.ip("route", "add", "10.252.0.0/16", "via", "10.1.10.66", "mtu", "1300", *own)
    vm.ip("route", "add", "10.253.0.0/16", "nhid", "6", "metric", "7", *own)
    vm.ip("route", "add", "10.253.0.0/16", "nhid", "6", "table", "88", *own)
    vm.ip("route", "add", "10.254.0.0/16", "via", "10.1.10.77", *own)
    vm.ip("route", "add", "192.168.7.0/24", "nhid", "9", *own)
    vm.ip("route", "append", "10.254.0.0/16", "nhid", "7", *own)
    vm.start_agent()
    routes = {BRANCH: 1, "10.251.0.0/16": 1, "10.252.0.0/16": 1, "10.254.0.0/16": 2}
    assert vm.controller.snapshot({1: via(A), 2: via(C, B)}, routes) is None
    right = {BRANCH: f"via {A}", "10.251.0.0/16": f"via {A}", "10.252.0.0/16": f"via {A}"}
    assert vm.own() == right | {"10.254.0.0/16": f"via {B}, {C}"}
    rows = vm.ip("route", "show", "table", "all", "proto", "65")
    assert rows.count("10.25") == 4
    assert "table 88" not in rows
    assert len(vm.nexthops()) == 5, "three next hops, two groups, nothing else"


@pytest.mark.parametrize("end", ["eth0", "fabric"])
def test_a_link_that_goes_takes_routes_along_and_they_come_back(running: Vm, end: str) -> None:
    tell = running.controller
    routes = dict.fromkeys(many(300), 1) | {"10.2.0.0/16": 2, "0.0.0.0/0": 3, "10.0.0.0/8": 4}
    assert tell.snapshot({1: via(A, B), 2: PEERED, 3: INTERNET, 4: NOWHERE}, routes) is None
    right = running.own()
    running.ip("link", "set", end, "down")
    assert tell.answer() in {
        "eth0 is down: no route can be installed",
        "eth0 has no carrier: no route can be installed",
    }
    assert running.own() != right
    assert tell.delta({1: via(A)}) is not None
    running.ip("link", "set", end, "up")
    assert tell.answer() is None
    assert running.own() == right | dict.fromkeys(many(300), f"via {A}")


def test_a_link_that_blinks_is_noticed(running: Vm) -> None:
    tell = running.controller
    assert tell.snapshot({1: via(A), 2: PEERED}, {BRANCH: 1, "10.2.0.0/16": 2}) is None
    right = running.own()
    running.run("ip", "-batch", "-", stdin="link set eth0 down\nlink set eth0 up\n")
    eventually(lambda: running.own() == right, "the routes are back")


def test_the_nic_may_come_later(vm: Vm) -> None:
    vm.start_agent()
    error = vm.controller.snapshot({1: via(A)}, {BRANCH: 1})
    assert error is not None
    assert error.startswith("eth0 ")
    assert not vm.ready.exists()
    vm.plug()
    while vm.controller.answer() is not None:
        assert vm.agent is not None
        assert vm.agent.poll() is None
    assert vm.own() == {BRANCH: f"via {A}"}
    eventually(vm.ready.exists, "the agent says it is ready")


def test_the_nic_may_be_another_one_later(running: Vm) -> None:
    assert running.controller.snapshot({1: via(A)}, {BRANCH: 1}) is None
    running.ip("link", "del", "eth0")
    assert running.controller.answer() is not None
    running.plug()
    eventually(lambda: running.own() == {BRANCH: f"via {A}"}, "the route leads through the new NIC")


def test_the_address_may_change(running: Vm) -> None:
    assert running.controller.snapshot({1: via(A), 2: INTERNET}, {BRANCH: 1, "0.0.0.0/0": 2}) is None
    running.ip("address", "del", "10.1.10.4/24", "dev", "eth0")
    assert running.controller.answer() == "eth0 has no IPv4 address: no route can be installed"
    running.ip("address", "add", "10.1.20.7/25", "dev", "eth0")
    assert running.controller.answer() is None
    assert running.own() == {BRANCH: f"via {A}", "default": "via 10.1.20.1"}


def test_what_the_kernel_refuses_is_reported_and_nothing_else_suffers(running: Vm) -> None:
    tell = running.controller
    nobody, host_bits = "10.1.10.255", "10.9.0.1/16"
    error = tell.snapshot(
        {1: via(A), 2: via(nobody), 3: via(nobody, B)},
        {BRANCH: 1, "10.251.0.0/16": 2, "10.252.0.0/16": 3, host_bits: 1},
    )
    assert error is not None
    assert f"next hop {nobody}: Nexthop has invalid gateway" in error
    assert "10.9.0.1/16: Invalid prefix for given prefix length" in error
    assert running.own() == {BRANCH: f"via {A}", "10.252.0.0/16": f"via {B}"}
    assert "not installed" in running.log.read_text()
    # A route that was right and cannot become what is wanted now is no route.
    assert tell.delta({1: via(nobody)}, removed_routes=[host_bits]) is not None
    assert running.own() == {"10.252.0.0/16": f"via {B}"}
    assert tell.delta({1: via(C), 2: via(C), 3: via(B)}) is None
    assert running.own() == {BRANCH: f"via {C}", "10.251.0.0/16": f"via {C}", "10.252.0.0/16": f"via {B}"}


def test_thousands_of_refusals(running: Vm) -> None:
    bad = [prefix.replace(".0/24", ".1/24") for prefix in many(3_000)]
    error = running.controller.snapshot({1: via(A)}, dict.fromkeys([*bad, BRANCH], 1))
    assert error is not None
    assert "and 2,992 more" in error
    assert running.own() == {BRANCH: f"via {A}"}


@pytest.mark.parametrize("broken", ["nexthop flush", "route del 10.251.0.0/16", f"route del {BRANCH}"])
def test_a_delta_meets_a_kernel_that_was_meddled_with(running: Vm, broken: str) -> None:
    tell = running.controller
    assert tell.snapshot({1: via(A), 2: via(B)}, {BRANCH: 1, "10.251.0.0/16": 1}) is None
    running.ip(*broken.split())
    assert tell.delta({}, {BRANCH: 2}, ["10.251.0.0/16"], [1]) is None
    assert running.own() == {BRANCH: f"via {B}"}


def test_nonsense_is_refused_and_does_no_harm(running: Vm) -> None:
    tell = running.controller
    assert tell.snapshot({1: via(A)}, {BRANCH: 1}) is None
    error = tell.delta({}, {"10.9.0.0/16": 99})
    assert error is not None
    assert "unknown groups [99]" in error
    assert running.own() == {BRANCH: f"via {A}"}
    tell.accept()
    unknown = {"1": {"type": "Moon", "next_hops": []}}
    absurd: tuple[dict[str, Any], ...] = ({}, {"groups": [], "routes": {}}, {"groups": unknown, "routes": {}})
    for table in absurd:
        assert "is not valid: tables.eth0." in str(tell.tell({"type": "snapshot", "tables": {"eth0": table}}))
        tell.accept()
    assert "not eth1" in str(tell.tell({"type": "snapshot", "tables": {"eth1": wire({}, {})}}))
    tell.accept()
    assert running.own() == {BRANCH: f"via {A}"}
    assert tell.snapshot({1: via(B)}, {BRANCH: 1}) is None
    assert running.own() == {BRANCH: f"via {B}"}


HOPS = st.one_of(
    st.lists(st.sampled_from([IPv4Address(a) for a in (A, B, C)]), min_size=1, unique=True).map(
        lambda hops: NextHops(NextHopType.VIRTUAL_APPLIANCE, tuple(sorted(hops)))
    ),
    st.sampled_from([NextHops(t) for t in (NextHopType.INTERNET, NextHopType.NONE, NextHopType.VNET_LOCAL)]),
)
PREFIXES = [IPv4Network(p) for p in ("0.0.0.0/0", BRANCH, "10.250.1.0/24", "10.2.0.0/16", "20.0.0.0/8", "20.0.0.1/32")]
TABLES = st.dictionaries(st.sampled_from(PREFIXES), HOPS)
STEPS = st.lists(st.tuples(TABLES, st.sampled_from(["delta", "delta", "snapshot", "renumber", "meddle"])), max_size=8)


def as_shown(wanted: dict[IPv4Network, NextHops]) -> dict[str, str]:
    text = {
        NextHopType.INTERNET: "via 10.1.10.1",
        NextHopType.NONE: "via 10.1.10.1",
        NextHopType.VNET_LOCAL: "on-link",
    }
    return {
        ("default" if not prefix.prefixlen else str(prefix).removesuffix("/32")): text.get(hop.type)
        or "via " + ", ".join(map(str, hop.next_hops))
        for prefix, hop in wanted.items()
    }


def told_snapshot(tell: FakeController, table: Table) -> str | None:
    return tell.tell(written(AgentSnapshot({"eth0": table.message()})))


def test_whatever_the_feed_sends_the_kernel_has(running: Vm) -> None:
    """Any sequence of tables, sent as the controller sends it, ends in a kernel that has the last."""
    tell = running.controller
    assert tell.snapshot({}, {}) is None

    @given(STEPS)
    def check(steps: list[tuple[dict[IPv4Network, NextHops], str]]) -> None:
        table = Table()
        assert told_snapshot(tell, table) is None
        for wanted, how in steps:
            if how == "meddle":
                running.run("ip", "-force", "-batch", "-", stdin="route replace 10.250.0.0/16 dev lo proto 65\n")
            table, change = diff(Table(next_id=table.next_id + 3) if how == "renumber" else table, wanted)
            if how == "delta":
                assert tell.tell(written(AgentDelta({"eth0": change.message()}))) is None
            else:
                assert told_snapshot(tell, table) is None
            assert running.own() == as_shown(wanted)

    check()
    assert len(running.nexthops()) <= 3 + len(PREFIXES)


# Two NICs.


def both(first: dict[str, Any], second: dict[str, Any], kind: str = "snapshot") -> dict[str, Any]:
    return {"type": kind, "tables": {"eth0": first, "eth1": second}}


@pytest.fixture(name="two")
def two_nics(vm: Vm) -> Vm:
    vm.plug()
    vm.plug_another()
    vm.start_agent()
    return vm


def test_each_nic_has_its_routes_in_a_table_of_its_own(two: Vm) -> None:
    first = wire({1: LOCAL, 2: via(A), 3: INTERNET}, {"10.1.0.0/16": 1, BRANCH: 2, "0.0.0.0/0": 3, "10.1.20.0/24": 2})
    # Its own subnet leads to an appliance, which would make the subnet's gateway unreachable by that table.
    second = wire(
        {1: LOCAL, 2: via(B, C), 3: NOWHERE, 4: INTERNET},
        {"10.1.0.0/16": 1, BRANCH: 3, "0.0.0.0/0": 2, "10.1.20.0/24": 2, "203.0.113.0/24": 4},
    )
    assert two.controller.tell(both(first, second)) is None
    main = {"10.1.0.0/16": "on-link", BRANCH: f"via {A}", "default": "via 10.1.10.1"}
    further = {
        "10.1.0.0/16": "on-link", BRANCH: "via 10.1.20.1", "default": f"via {B}, {C}", "10.1.20.0/24": f"via {B}, {C}",
        "203.0.113.0/24": "via 10.1.20.1",
    }  # fmt: skip
    assert two.own() == main, "the subnets of both NICs are the kernel's own there"
    assert two.routes("table", "100", "proto", PROTOCOL) == {**main, "10.1.20.0/24": f"via {A}"}
    assert two.routes("table", "101", "proto", PROTOCOL) == further
    assert "dev eth1" in two.ip("route", "get", "192.0.2.1", "from", "10.1.20.4")
    assert "dev eth0" in two.ip("route", "get", "192.0.2.1", "from", "10.1.10.4")
    eventually(two.ready.exists, "the agent says it is ready")
    assert two.controller.tell(both(delta({2: via(C)}), delta({2: via(A)}), "delta")) is None
    assert two.own() == {**main, BRANCH: f"via {C}"}
    assert two.routes("table", "100")[BRANCH] == f"via {C}"
    after = {**further, "default": f"via {A}", "10.1.20.0/24": f"via {A}"}
    assert two.routes("table", "101", "proto", PROTOCOL) == after
    two.kill_agent()
    monitor = Monitor(two)
    two.start_agent()
    assert two.controller.tell(both(wire({7: via(C)}, {BRANCH: 7}), wire({7: via(A)}, {"0.0.0.0/0": 7}))) is None
    assert two.own() == {BRANCH: f"via {C}"}
    assert two.routes("table", "101", "proto", PROTOCOL) == {"default": f"via {A}"}
    assert all(line.startswith("Deleted") for line in monitor.lines()), "what was right has been kept"
    monitor.close()
    # A table may lead to the machine's other NIC, which is no next hop for a kernel.
    itself = both(wire({1: via("10.1.20.4")}, {BRANCH: 1}), wire({1: via("10.1.10.4", A)}, {"0.0.0.0/0": 1}))
    assert two.controller.tell(itself) is None
    assert two.own() == {BRANCH: "via 10.1.10.1"}
    assert two.routes("table", "101", "proto", PROTOCOL) == {"default": f"via {A}, 10.1.20.1"}
    assert two.controller.tell(both(wire({7: via(C)}, {BRANCH: 7}), wire({7: via(A)}, {"0.0.0.0/0": 7}))) is None
    two.ip("link", "set", "eth1", "down")
    two.ip("link", "set", "eth1", "up")
    eventually(lambda: two.routes("table", "101") == {"default": f"via {A}"}, "the routes of eth1 are back")
    assert two.own() == {BRANCH: f"via {C}"}


def test_a_message_without_the_table_of_a_nic_is_refused(two: Vm) -> None:
    content = wire({1: LOCAL}, {"10.1.0.0/16": 1})
    two.controller.send({"type": "snapshot", "tables": {"eth0": content}})
    assert "there is no table for eth1" in str(two.controller.answer())
