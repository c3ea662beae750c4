"""What is reported to the controller of a gateway's instance, and when."""

from __future__ import annotations

from ipaddress import IPv4Address

from labkit.azure.model import PathAttributes
from labkit.gateway.bmp import BmpUpdate, EndOfRoutes, PeerDown, PeersListed, PeerUp
from labkit.gateway.state import State
from tests.unit.feed.wire import written

CIRCUIT, SERVER = "100.65.0.1", "10.1.0.4"
PATH = PathAttributes(IPv4Address(CIRCUIT), (12076, 65020))
LONGER = PathAttributes(IPv4Address(CIRCUIT), (12076, 65020, 65020))


def announced(attributes: PathAttributes, *prefixes: str) -> BmpUpdate:
    return BmpUpdate(CIRCUIT, (), prefixes, attributes)


def made() -> State:
    state = State()
    for message in (PeerUp(CIRCUIT, 1.0), PeersListed(), announced(PATH, "10.2.0.0/16", "10.3.0.0/16")):
        state.take(message)
    return state


def test_it_is_whole_once_every_session_that_is_up_has_reported_all() -> None:
    state = State()
    state.take(PeerUp(CIRCUIT, 1.0))
    state.take(PeerUp(SERVER, 1.0))
    state.take(EndOfRoutes(CIRCUIT))
    assert not state.whole, "nobody said yet whom there is to wait for"
    state.take(PeersListed())
    state.take(EndOfRoutes(CIRCUIT))
    assert not state.whole
    state.take(PeerDown(SERVER, 2.0, "connection closed"))
    assert state.whole, "nothing comes any more from one that went down"


def test_without_a_session_it_is_whole_at_once() -> None:
    state = State()
    state.take(PeerDown(CIRCUIT, 1.0, "x"))
    state.take(PeersListed())
    assert state.whole


def test_a_snapshot_and_what_changed_since() -> None:
    state = made()
    told = written(state.snapshot(1.0))
    assert told["sessions"] == {CIRCUIT: {"state": "Established", "since": 1.0, "reason": ""}}
    assert [(g["peer"], g["prefixes"]) for g in told["routes"]] == [(CIRCUIT, ["10.2.0.0/16", "10.3.0.0/16"])]
    assert state.delta(2.0) is None
    state.take(announced(LONGER, "10.2.0.0/16"))
    state.take(BmpUpdate(CIRCUIT, ("10.3.0.0/16", "10.9.0.0/16"), (), None))
    delta = written(state.delta(3.0))
    assert delta["time"] == 3.0
    assert delta["sessions"] == {}
    assert [g["attributes"]["as_path"] for g in delta["announced"]] == [[12076, 65020, 65020]]
    assert delta["withdrawn"] == [{"peer": CIRCUIT, "prefixes": ["10.3.0.0/16"]}]


def test_a_change_that_came_back_is_none() -> None:
    state = made()
    written(state.snapshot(1.0))
    state.take(announced(LONGER, "10.2.0.0/16"))
    state.take(announced(PATH, "10.2.0.0/16"))
    assert state.delta(2.0) is None


def test_a_session_that_goes_takes_its_routes() -> None:
    state = made()
    written(state.snapshot(1.0))
    state.take(PeerDown(CIRCUIT, 5.0, "hold timer expired"))
    delta = written(state.delta(5.0))
    assert delta["sessions"] == {CIRCUIT: {"state": "Idle", "since": 5.0, "reason": "hold timer expired"}}
    assert delta["announced"] == delta["withdrawn"] == []
    assert written(state.snapshot(1.0))["routes"] == []


def test_a_daemon_that_is_gone_takes_everything() -> None:
    state = made()
    state.connected = True
    written(state.snapshot(1.0))
    state.lost(7.0)
    delta = written(state.delta(7.0))
    assert delta["sessions"][CIRCUIT] == {"state": "Idle", "since": 7.0, "reason": "the BGP daemon is gone"}
    assert not state.connected
    assert state.whole, "what it had is gone for certain"
    assert written(state.snapshot(1.0))["routes"] == []


def test_a_session_that_is_wanted_again_is_being_set_up() -> None:
    state = State()
    state.take(PeerDown(SERVER, 1.0, "branch-to-branch is off"))
    state.take(PeerDown(CIRCUIT, 1.0, "hold timer expired"))
    state.awaited([SERVER])
    sessions = written(state.snapshot(1.0))["sessions"]
    assert sessions[SERVER] == {"state": "Idle", "since": 1.0, "reason": "being set up"}
    assert sessions[CIRCUIT]["reason"] == "hold timer expired"
    state.take(PeerUp(SERVER, 2.0))
    state.awaited([SERVER])
    assert written(state.snapshot(1.0))["sessions"][SERVER] == {"state": "Established", "since": 2.0, "reason": ""}


def test_what_frr_reports_again_replaces_what_it_reported() -> None:
    state, renewed = made(), State()
    state.take(PeerUp(SERVER, 1.0))
    written(state.snapshot(1.0))
    for message in (PeerUp(CIRCUIT, 99.0), PeerDown(SERVER, 99.0, "x"), PeersListed(), announced(PATH, "10.2.0.0/16")):
        renewed.take(message)
    renewed.take(announced(LONGER, "10.4.0.0/16"))
    state.become(renewed, 5.0)
    delta = written(state.delta(6.0))
    assert delta["sessions"] == {SERVER: {"state": "Idle", "since": 5.0, "reason": "x"}}
    assert [g["prefixes"] for g in delta["announced"]] == [["10.4.0.0/16"]]
    assert delta["withdrawn"] == [{"peer": CIRCUIT, "prefixes": ["10.3.0.0/16"]}]
    assert state.is_up(CIRCUIT)
    assert not state.is_up(SERVER)
