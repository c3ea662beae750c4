"""The commands that change an FRR."""

from __future__ import annotations

from labkit.daemons.registry import DAEMONS
from tests.unit.azure.builders import addr, net

CONTROL = DAEMONS["frr"].control


def lines(command: tuple[str, ...]) -> list[str]:
    """The lines that a vtysh command gives to FRR."""
    assert command[0] == "vtysh"
    assert set(command[1::2]) == {"-c"}
    return list(command[2::2])


def test_prefixes_are_originated_and_withdrawn() -> None:
    family = ["configure terminal", "router bgp 65001", "address-family ipv4 unicast"]
    prefixes = (net("10.9.0.0/16"), net("0.0.0.0/0"))
    assert lines(CONTROL.advertise(65001, prefixes)) == [*family, "network 10.9.0.0/16", "network 0.0.0.0/0"]
    assert lines(CONTROL.withdraw(65001, prefixes)) == [*family, "no network 10.9.0.0/16", "no network 0.0.0.0/0"]


def test_sessions_are_shut_down_and_started() -> None:
    router, peers = ["configure terminal", "router bgp 65001"], (addr("10.1.0.4"), addr("10.1.0.5"))
    shut = ["neighbor 10.1.0.4 shutdown", "neighbor 10.1.0.5 shutdown"]
    assert lines(CONTROL.shut_down(65001, peers)) == [*router, *shut]
    assert lines(CONTROL.start(65001, peers)) == [*router, *(f"no {line}" for line in shut)]


def test_routes_are_sent_and_asked_for_again() -> None:
    assert lines(CONTROL.refresh()) == ["clear bgp ipv4 unicast * soft"]
    assert lines(CONTROL.refresh(addr("10.1.0.4"))) == ["clear bgp ipv4 unicast 10.1.0.4 soft"]
