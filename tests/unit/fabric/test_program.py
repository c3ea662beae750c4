"""The program has what the contract has, and changes touch what differs and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from labkit.fabric.nft import Unit, change, changed_elements, transactions
from labkit.fabric.prefixes import parse_prefix
from labkit.fabric.program import EMPTY, Chain, Hook, Map, Program, build, unhooked

from .wire import follow

A, B = "00:0d:3a:00:00:0a", "00:0d:3a:00:00:0b"
BRIDGE = "12:34:56:78:9a:bc"


def nic(mac: str, address: str, *, forwarding: bool = False, table: str = "t1") -> dict[str, Any]:
    return {"type": "nic", "mac": mac, "address": address, "ip_forwarding": forwarding, "table": table}


def snapshot(groups: Mapping[str, Any], routes: Mapping[str, int], **ports: Any) -> dict[str, Any]:
    ports = {"a": nic(A, "10.1.0.10", forwarding=True), "b": nic(B, "10.1.0.11"), **ports}
    return {
        "type": "snapshot",
        "mac": BRIDGE,
        "seed": 1,
        "ports": ports,
        "tables": {"t1": {"groups": groups, "routes": routes}},
    }


def group(kind: str, *hops: str) -> dict[str, Any]:
    return {"type": kind, "next_hops": list(hops)}


def lines(units: Iterable[Unit]) -> list[str]:
    return [line for unit in units for line in unit]


def rules(kind: str, *hops: str, **ports: Any) -> tuple[str, ...]:
    fabric = follow(None, snapshot({"1": group(kind, *hops)}, {"0.0.0.0/0": 1}, **ports))
    return build(fabric, {"a": 2, "b": 3}).chains["g-t1-1"].rules


def test_the_rules_of_each_type_of_group() -> None:
    unknown = "meta mark set 2 return"
    internet = {"internet": {"type": "internet", "mac": "00:0d:3a:00:00:99"}}
    on_link = ("ether daddr set ip daddr map @reachable accept", unknown)
    assert rules("None") == ("meta mark set 1 return",)
    assert rules("VnetLocal") == rules("VNetPeering") == rules("VNetGlobalPeering") == on_link
    assert rules("Internet") == (unknown,)
    assert rules("Internet", **internet) == ("ether daddr set 00:0d:3a:00:00:99 accept", unknown)
    assert rules("VirtualAppliance", "10.1.0.10") == (f"ether daddr set {A} accept", unknown)
    assert rules("VirtualNetworkGateway", "10.1.0.11") == (f"ether daddr set {B} accept", unknown)
    assert rules("VirtualAppliance", "10.9.9.9") == (unknown,)


def test_equal_paths_are_chosen_by_ports_only_where_there_are_ports() -> None:
    with_ports, without, unknown = rules("VirtualNetworkGateway", "10.1.0.10", "10.1.0.11")
    assert with_ports.startswith("ip protocol { tcp, udp } ip frag-off & 0x3fff == 0 ether daddr set jhash")
    assert ". th dport mod 2 seed 0x1 map { 0 : 00:0d:3a:00:00:0a, 1 : 00:0d:3a:00:00:0b } accept" in with_ports
    assert "th sport" not in without
    assert unknown == "meta mark set 2 return"


def test_the_share_of_an_unknown_next_hop_is_dropped_and_not_hashed_again() -> None:
    first, second, third, _ = rules("VirtualNetworkGateway", "10.1.0.10", "10.9.9.9")
    assert "mod 2" in first
    assert "map { 0 : 00:0d:3a:00:00:0a }" in first
    assert second == "ip protocol { tcp, udp } ip frag-off & 0x3fff == 0 meta mark set 2 return"
    assert "mod 2" in third


def test_what_virtual_networks_do_not_carry() -> None:
    program = build(follow(None, snapshot({}, {})), {"a": 2})
    assert "ip protocol { 4, 47 } counter name drop-a-protocol drop" in program.chains["in-a"].rules


def test_a_port_without_forwarding_sends_only_as_itself() -> None:
    program = build(follow(None, snapshot({}, {})), {"a": 2, "b": 3})
    assert "ip saddr != 10.1.0.11 counter name drop-b-foreign-source drop" in program.chains["in-b"].rules
    assert not any("saddr" in rule for rule in program.chains["in-a"].rules)
    assert program.chains["in-b"].hook == Hook("b", 3)


def test_a_port_without_forwarding_gets_only_its_own() -> None:
    program = build(follow(None, snapshot({}, {})), {"a": 2, "b": 3})
    assert program.chains["out-b"].rules == (
        "ether type ip ip daddr != 10.1.0.11 counter name drop-b-foreign-destination drop",
    )
    assert program.chains["out-b"].hook == Hook("b", 3, "egress")
    assert "out-a" not in program.chains


def test_every_ingress_chain_ends_in_a_drop() -> None:
    ports = {
        "internet": {"type": "internet", "mac": "00:0d:3a:00:00:99"},
        "hub2": {"type": "peering", "neighbours": [["10.2.0.4", "00:0d:3a:00:00:02"]]},
    }
    program = build(follow(None, snapshot({}, {}, **ports)), {"a": 2, "b": 3, "internet": 4, "hub2": 5})
    hooked = [chain for chain in program.chains.values() if chain.hook and chain.hook.direction == "ingress"]
    assert len(hooked) == 4
    assert all(chain.rules[-1].startswith("counter name") and chain.rules[-1].endswith("drop") for chain in hooked)


def test_a_peering_that_takes_nothing_forwarded_looks_at_the_source() -> None:
    hub2 = {"type": "peering", "neighbours": [["10.2.0.4", "00:0d:3a:00:00:02"]], "sources": ["10.2.0.0/16"]}
    program = build(follow(None, snapshot({}, {}, hub2=hub2)), {"hub2": 5})
    assert "ip saddr != { 10.2.0.0/16 } counter name drop-hub2-forwarded drop" in program.chains["in-hub2"].rules
    assert "drop-hub2-forwarded" in program.counters
    anywhere = build(follow(None, snapshot({}, {}, hub2={**hub2, "sources": None})), {"hub2": 5})
    assert not any("saddr" in rule for rule in anywhere.chains["in-hub2"].rules)


def test_a_port_without_interface_has_no_chain_but_can_be_sent_to() -> None:
    program = build(follow(None, snapshot({}, {})), {"a": 2})
    assert "in-b" not in program.chains
    assert program.maps["nics"].elements == {
        parse_prefix("10.1.0.10/32"): A,
        parse_prefix("10.1.0.11/32"): B,
    }


def test_nothing_is_sent_when_nothing_differs() -> None:
    program = build(follow(None, snapshot({"1": group("None")}, {"0.0.0.0/0": 1})), {"a": 2})
    assert list(change(program, program)) == []


def test_failover_rewrites_one_chain() -> None:
    message = snapshot({"1": group("VirtualAppliance", "10.1.0.10"), "2": group("None")}, {"0.0.0.0/0": 1})
    before = follow(None, message)
    delta = {"groups": {"1": group("VirtualAppliance", "10.1.0.11")}, "routes": {}}
    after = follow(before, {"type": "delta", "ports": {}, "tables": {"t1": delta}})
    assert lines(change(build(before, {"a": 2}), build(after, {"a": 2}))) == [
        "flush chain netdev labkit g-t1-1",
        f"add rule netdev labkit g-t1-1 ether daddr set {B} accept",
        "add rule netdev labkit g-t1-1 meta mark set 2 return",
    ]


def test_a_new_route_touches_only_the_intervals_it_cuts() -> None:
    message = snapshot({"1": group("None"), "2": group("VnetLocal")}, {"10.0.0.0/8": 1, "20.0.0.0/8": 1})
    longer = copy.deepcopy(message)
    longer["tables"]["t1"]["routes"]["10.128.0.0/9"] = 2
    old, new = (build(follow(None, m), {}) for m in (message, longer))
    assert lines(change(old, new)) == [
        "delete element netdev labkit r-t1 { 10.0.0.0-10.255.255.255 }",
        (
            "add element netdev labkit r-t1 "
            "{ 10.0.0.0-10.127.255.255 : jump g-t1-1, 10.128.0.0-10.255.255.255 : jump g-t1-2 }"
        ),
    ]


def test_an_interface_that_came_back_is_hooked_again() -> None:
    fabric = follow(None, snapshot({}, {}))
    before = build(fabric, {"a": 2})
    # The same index again: only the message that it went away shows it.
    said = lines(change(unhooked(before, frozenset({2})), build(fabric, {"a": 2})))
    assert said[0].startswith('add chain netdev labkit in-a { type filter hook ingress device "a"')
    assert "flush chain netdev labkit in-a" in said


class Kernel:
    """What nftables makes of a transaction, as far as our lines go: an independent reading of them."""

    def __init__(self) -> None:
        self.chains: dict[str, list[str]] = {}
        self.maps: dict[str, dict[str, str]] = {}
        self.counters: set[str] = set()

    def apply(self, lines: list[str]) -> None:
        for line in lines:
            verb, what, _, _, name, rest = (
                [*line.split(" ", 5), ""][:6] if line.count(" ") > 3 else [*line.split(), "", ""][:6]
            )
            match verb, what:
                case "add", "chain":
                    self.chains.setdefault(name, [])
                case "add", "map":
                    assert name not in self.maps
                    self.maps[name] = {}
                case "add", "counter":
                    self.counters.add(name)
                case "add", "table":
                    pass
                case "flush", "map":
                    self.maps[name].clear()
                case "flush", "chain":
                    self.chains[name].clear()
                case "add", "rule":
                    self.chains[name].append(rest)
                case "add", "element":
                    for element in rest.strip("{} ").split(", "):
                        key, value = element.split(" : ")
                        assert key not in self.maps[name]
                        self.maps[name][key] = value
                case "delete", "element":
                    for key in rest.strip("{} ").split(", "):
                        del self.maps[name][key]
                case "delete", "chain":
                    assert not any(f"jump {name}" == v for m in self.maps.values() for v in m.values())
                    del self.chains[name]
                case "delete", "map":
                    assert not any(f"@{name}" in rule for chain in self.chains.values() for rule in chain)
                    del self.maps[name]
                case "delete", "counter":
                    assert not any(f"name {name} " in rule for chain in self.chains.values() for rule in chain)
                    self.counters.remove(name)
                case _:
                    raise AssertionError(line)


ranges = st.integers(0, 9).map(lambda i: (i * 10, i * 10 + 9))


@st.composite
def programs(draw: st.DrawFn) -> Program:
    groups = draw(st.sets(st.sampled_from(["g1", "g2", "g3"]), min_size=1))
    maps = draw(st.sets(st.sampled_from(["r1", "r2"])))
    ports = draw(st.sets(st.sampled_from(["p1", "p2"])))
    chains = {name: Chain((draw(st.sampled_from(["x", "y"])),)) for name in sorted(groups)}
    for port in sorted(ports):
        lookups = tuple(f"ip daddr vmap @{name}" for name in sorted(maps))
        chains[f"in-{port}"] = Chain((*lookups, f"counter name {port}-c drop"), Hook(port, draw(st.integers(1, 2))))
    jumps = st.sampled_from(sorted(groups)).map(lambda g: f"jump {g}")
    contents = {name: Map("type t;", draw(st.dictionaries(ranges, jumps))) for name in sorted(maps)}
    return Program(chains, contents, frozenset(f"{port}-c" for port in ports))


def adopted(program: Program) -> Program:
    """A program of which only the names are known."""
    return Program(
        {name: Chain(("?",), chain.hook and Hook("", 0)) for name, chain in program.chains.items()},
        {name: Map("", {}, unknown=True) for name in program.maps},
        program.counters,
    )


@given(st.lists(st.tuples(programs(), st.booleans(), st.none() | st.integers(0, 2000)), min_size=1, max_size=4))
def test_any_change_leads_where_it_should(steps: list[tuple[Program, bool, int | None]]) -> None:
    changed = Kernel()
    old = EMPTY
    for program, adopt, room in steps:
        for transaction in transactions(change(adopted(old) if adopt else old, program), room):
            changed.apply(transaction)
        old = program
        anew = Kernel()
        anew.apply(lines(change(EMPTY, program)))
        assert vars(changed) == vars(anew)


def test_transactions_keep_units_whole_and_their_order() -> None:
    units: list[Unit] = [("a" * 50, "b" * 50), ("c" * 10,), ("d" * 80,), ("e",)]
    assert list(transactions(units, None)) == [["a" * 50, "b" * 50, "c" * 10, "d" * 80, "e"]]
    assert list(transactions(units, 1000)) == [["a" * 50, "b" * 50], ["c" * 10, "d" * 80, "e"]]
    assert list(transactions(units, 10)) == [["a" * 50, "b" * 50], ["c" * 10], ["d" * 80], ["e"]]
    assert list(transactions([], 10)) == []


def test_changed_elements_are_counted() -> None:
    one, two, three = ((i, i) for i in (1, 2, 3))
    old = Map("type t;", {one: "x", two: "x"})
    assert changed_elements(old, {one: "x", two: "y", three: "x"}) == 2
    assert changed_elements(old, {}) == 2
    assert changed_elements(None, {one: "x"}) == 1
    assert changed_elements(Map("", {}, unknown=True), {one: "x"}) == 1
