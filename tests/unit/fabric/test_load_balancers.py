"""Load balancers in a fabric: what is remembered of their health, what rules follow, and how probes are judged."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.fabric.prober import BackendJudge
from labkit.fabric.program import build
from labkit.fabric.state import Fabric

from .wire import follow

BRIDGE, FRONTEND = "12:34:56:78:9a:bc", "10.1.0.100"
NAMES = ["a", "b", "c", "d"]
MACS = {name: f"00:0d:3a:00:00:0{i}" for i, name in enumerate(NAMES)}
ADDRESSES = {name: f"10.1.0.1{i}" for i, name in enumerate(NAMES)}
PROBE = {"port": 179, "interval": 5, "count": 2}
NO_BACKEND = "meta mark set 3 return"
ADDRESSED = (
    f"ip daddr {FRONTEND} ip protocol != {{ tcp, udp }} meta mark set 4 return",
    f"ip daddr {FRONTEND} ip frag-off & 0x3fff != 0 meta mark set 4 return",
    f"ip daddr {FRONTEND} ether saddr set 12:34:56:78:9a:bd",
)
"""What comes before the choice, for packets to the frontend itself."""


def snapshot(
    backends: int = 2,
    healthy: list[str] | None = None,
    probe: dict[str, int] | None = PROBE,
    hops: tuple[str, ...] = (FRONTEND,),
) -> dict[str, Any]:
    nic = {"type": "nic", "ip_forwarding": True, "table": "t1"}
    pool = {name: ADDRESSES[name] for name in NAMES[:backends]}
    return {
        "type": "snapshot",
        "mac": BRIDGE,
        "seed": 7,
        "ports": {name: {**nic, "mac": MACS[name], "address": ADDRESSES[name]} for name in NAMES},
        "tables": {
            "t1": {
                "groups": {"1": {"type": "VirtualNetworkGateway", "next_hops": list(hops)}},
                "routes": {"0.0.0.0/0": 1},
            }
        },
        "load_balancers": {"lb1": {"address": FRONTEND, "backends": pool, "probe": probe, "healthy": healthy}},
    }


def chains(fabric: Fabric) -> dict[str, tuple[str, ...]]:
    interfaces = {name: i for i, name in enumerate(NAMES, 2)}
    return {name: chain.rules for name, chain in build(fabric, interfaces).chains.items()}


def choice(rule: str) -> dict[int, str]:
    """The map of a rule that rewrites the MAC by a hash."""
    return {int(i): mac for i, mac in re.findall(r"(\d+) : ([0-9a-f:]{17})", rule)}


def test_a_group_leads_to_the_load_balancers_chain() -> None:
    rules = chains(follow(None, snapshot(healthy=["a", "b"])))
    assert rules["g-t1-1"] == ("goto lb-lb1", "meta mark set 2 return")
    assert rules["lb-lb1"][-1] == NO_BACKEND
    assert "meta mark 3 counter name drop-a-no-backend drop" in rules["in-a"]


def test_beside_another_next_hop_it_has_its_share() -> None:
    rules = chains(follow(None, snapshot(healthy=["a", "b"], hops=(ADDRESSES["c"], FRONTEND))))
    hashed, jump, *_ = rules["g-t1-1"]
    assert choice(hashed) == {0: MACS["c"]}
    assert jump.endswith("mod 2 seed 0x7 vmap { 1 : goto lb-lb1 }")


@given(healthy=st.sets(st.sampled_from(NAMES)), backends=st.integers(1, 4))
def test_every_flow_goes_to_a_healthy_backend_its_own_if_that_is_one(healthy: set[str], backends: int) -> None:
    pool = NAMES[:backends]
    up = [name for name in pool if name in healthy]
    rules = chains(follow(None, snapshot(backends, healthy=up)))["lb-lb1"]
    assert rules[: len(ADDRESSED)] == ADDRESSED
    rules = rules[len(ADDRESSED) :]
    if not up:
        assert rules == (NO_BACKEND,)
    elif len(up) == 1:
        assert rules == (f"ether daddr set {MACS[up[0]]} accept",)
    else:
        own: list[str | None] = [name if name in up else None for name in pool]
        wanted: list[list[str | None]] = [own, [*up]] if len(up) < backends else [own]
        with_ports = [rule for rule in rules if rule.startswith("ip protocol { tcp, udp }")]
        without = [rule for rule in rules if rule.startswith("meta mark") and rule != NO_BACKEND]
        for found, both in ((with_ports, wanted), (without, wanted)):
            hashed = [re.search(r"set jhash .* mod (\d+)", rule) for rule in found if "meta mark set" in rule]
            assert [int(h[1]) for h in hashed if h] == [len(places) for places in both]
            rows = [choice(rule) for rule in found if "meta mark set" not in rule]
            for places in both:
                for one, row in enumerate(rows[: len(places)]):
                    there = [places[(one + other) % len(places)] for other in range(len(places))]
                    assert row == {i: MACS[name] for i, name in enumerate(there) if name is not None}
                rows = rows[len(places) :]
            assert rows == []


def test_answers_to_its_own_probes_come_in_and_no_others() -> None:
    answer = f"ip saddr 10.1.0.10 ip daddr 168.63.129.16 tcp sport 179 ether daddr set {BRIDGE} accept"
    rules = chains(follow(None, snapshot()))
    assert rules["in-a"].index(answer) < rules["in-a"].index("ip daddr vmap @r-t1")
    assert not [rule for rule in rules["in-c"] if "168.63.129.16" in rule]
    elsewhere = chains(follow(None, snapshot(probe=None)))
    assert not [rule for rule in elsewhere["in-a"] if "168.63.129.16" in rule]


def healthy(fabric: Fabric) -> object:
    return fabric.load_balancers["lb1"].healthy


def test_what_is_known_of_health_and_from_whom() -> None:
    fresh = follow(None, snapshot())
    assert healthy(fresh) is None
    found = fresh.found("lb1", "a", up=True)
    assert healthy(found) == {"a"}
    assert healthy(found.found("lb1", "a", up=False)) == frozenset()
    # A fabric's own probes know more than the controller, which has it from them.
    assert healthy(follow(found, snapshot(healthy=["b"]))) == {"a"}
    assert healthy(follow(None, snapshot(healthy=["b"]))) == {"b"}
    # Another one's come from the controller, unless that has received nothing yet.
    told = follow(None, snapshot(probe=None, healthy=["b"]))
    assert healthy(follow(told, snapshot(probe=None, healthy=["a"]))) == {"a"}
    assert healthy(follow(told, snapshot(probe=None))) == {"b"}
    delta = {"type": "delta", "ports": {}, "tables": {}, "healthy": {"lb1": ["a", "b"]}}
    assert healthy(follow(told, delta)) == {"a", "b"}
    with pytest.raises(ValueError, match="there is no load balancer"):
        follow(told, {**delta, "healthy": {"lb2": []}})


@given(outcomes=st.lists(st.booleans()), count=st.integers(1, 4))
def test_a_success_is_up_and_so_many_failures_in_a_row_are_down(outcomes: list[bool], count: int) -> None:
    judge = BackendJudge(count)
    up: bool | None = None
    for i, answered in enumerate(outcomes, 1):
        before = up
        if answered:
            up = True
        elif i >= count and not any(outcomes[i - count : i]):
            up = False
        assert judge.take(answered=answered) is (up is not before)
        assert judge.up is up
