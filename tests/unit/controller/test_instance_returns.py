"""No NIC's routes change while one instance goes and returns in any way, as long as the other one stays."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from labkit.azure.model import InstanceId, PathAttributes
from labkit.controller.platform import Platform
from labkit.feed.bgp import SessionState
from labkit.lab.load import read
from labkit.resources import topologies

LAB = read(topologies() / "overview" / "lab.yml").lab
STAYS, RETURNS = InstanceId("rs1", 0), InstanceId("rs1", 1)
ROUTES = {
    "sdwan-nva": [IPv4Network(f"10.25{i}.0.0/16") for i in range(3)],
    "security-nva": [IPv4Network("0.0.0.0/0"), IPv4Network("198.18.0.0/15")],
}
HOPS = {nva.name: LAB.azure.nic[nva.name].address for nva in LAB.nvas}
UP, DOWN = SessionState("Established", 1.0, ""), SessionState("Idle", 1.0, "")

Step = tuple[str, str]
"""`down`, `snapshot`, or for a peer `session` and `route`, one more of its routes."""

STEPS = st.lists(
    st.sampled_from(
        [("down", ""), ("snapshot", ""), *((what, peer) for peer in ROUTES for what in ("session", "route", "route"))]
    ),
    max_size=30,
)


def announce(platform: Platform, instance: InstanceId, peer: str, prefixes: Sequence[IPv4Network]) -> None:
    asn = {"sdwan-nva": 65001, "security-nva": 65002}[peer]
    platform.announce(instance, peer, PathAttributes(IPv4Address(HOPS[peer]), (asn,)), prefixes)


def whole(platform: Platform, instance: InstanceId) -> None:
    platform.came_up(instance)
    for peer, prefixes in ROUTES.items():
        platform.instances[instance].sessions[peer] = UP
        announce(platform, instance, peer, prefixes)


@given(STEPS)
def test_nothing_changes_for_any_nic(steps: list[Step]) -> None:
    platform = Platform(LAB)
    whole(platform, STAYS)
    whole(platform, RETURNS)
    platform.conclude()
    before = {nic.name: platform.rows(nic.name) for nic in LAB.azure.nics}
    assert any(str(row.prefix) == "10.250.0.0/16" for row in before["vm2"])
    for what, peer in [*steps, ("snapshot", ""), *(("session", peer) for peer in ROUTES)]:
        here = platform.instances.get(RETURNS)
        if what == "down":
            platform.went_down(RETURNS)
        elif what == "snapshot":
            platform.came_up(RETURNS)
            platform.instances[RETURNS].sessions.update(dict.fromkeys(ROUTES, DOWN))
        elif here is not None and what == "session":
            here.sessions[peer] = UP
        elif here is not None and here.sessions[peer].established:
            known = [prefix for prefix in ROUTES[peer] if peer in here.routes.get(prefix, {})]
            announce(platform, RETURNS, peer, ROUTES[peer][len(known) : len(known) + 1])
        assert platform.conclude() == []
        assert {nic.name: platform.rows(nic.name) for nic in LAB.azure.nics} == before
