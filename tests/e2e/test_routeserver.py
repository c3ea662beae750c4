"""A route server instance with real speakers: ExaBGP, FRR, and raw ones for what FRR would never send."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from labkit.azure.model import BgpPeer, RouteServer
from tests.e2e.bgp_bed import (
    INSTANCE,
    Bed,
    FeedServer,
    RawSpeaker,
    attribute,
    children,
    opening,
    parse_update,
    path,
    until,
    update,
    usual,
)

A, B = "10.1.0.10", "10.1.0.20"
PEERS = {A: 65001, B: 65002}
OWN = "10.1.0.0/16"


def server(**changes: object) -> RouteServer:
    peers = (BgpPeer("a", 65001, IPv4Address(A)), BgpPeer("b", 65002, IPv4Address(B)))
    instances = IPv4Address(INSTANCE), IPv4Address("10.1.0.5")
    plain = RouteServer("rs1", "vnet1", instances, peers, total_prefixes=20_000)
    return replace(plain, **changes)  # type: ignore[arg-type]


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    with Bed(tmp_path) as bed:
        yield bed


def start(bed: Bed, *, b2b: bool = False, watchdog: int = 20, limit: int = 4000) -> None:
    bed.feed.configure(server(branch_to_branch=b2b, routes_per_peer=limit))
    bed.start_exabgp(PEERS, watchdog)
    until("the instance to be ready", bed.ready)


def start_pair(
    bed: Bed, *, b2b: bool = False, a: tuple[str, ...] = ("10.250.0.0/16",), watchdog: int = 20, more: str = ""
) -> None:
    """The instance with two FRRs, all settled; the first has `more` in its configuration."""
    start(bed, b2b=b2b, watchdog=watchdog)
    bed.start_frr("a", A, 65001, a, more)
    bed.start_frr("b", B, 65002, ["0.0.0.0/0"])
    settled(bed, {*a})


def settled(bed: Bed, a: set[str]) -> None:
    until("both sessions", lambda: bed.feed.state("a") == bed.feed.state("b") == "Established")
    until("a's routes on the feed", lambda: bed.feed.prefixes("a") == a)
    until("b's routes on the feed", lambda: bed.feed.prefixes("b") == {"0.0.0.0/0"})
    for node in ("a", "b"):
        hears(bed, node, {OWN})


def hears(bed: Bed, node: str, prefixes: set[str]) -> None:
    until(f"{node} to hear {prefixes}", lambda: prefixes <= bed.learned(node).keys())


def another_worker(bed: Bed, former: int) -> None:
    until("another worker", lambda: bed.worker_pid() not in {None, former})


def reports(bed: Bed, already: int, session: str = "") -> None:
    """Wait for a report after so many, about a session if one is named."""
    messages = bed.feed.messages
    until("a report", lambda: any(not session or session in m["sessions"] for _, m in messages[already:]))


def raw_updates(speaker: RawSpeaker) -> tuple[set[str], list[str]]:
    """What a raw speaker holds after all UPDATEs, and every prefix that was ever withdrawn from it."""
    held: set[str] = set()
    gone: list[str] = []
    for _, body in speaker.updates():
        announced, withdrawn = parse_update(body)
        held = (held - {*withdrawn}) | {*announced}
        gone += withdrawn
    return held, gone


def sayings(speaker: RawSpeaker) -> list[tuple[list[str], list[str]]]:
    """What every UPDATE to a raw speaker announces and withdraws, but for the end of the RIB."""
    return [said for _, body in speaker.updates() if (said := parse_update(body)) != ([], [])]


def test_advertises_its_ranges_and_relays_nothing_without_branch_to_branch(bed: Bed) -> None:
    start_pair(bed)
    assert bed.learned("a") == bed.learned("b") == {OWN: "65515"}
    capabilities = bed.neighbor("a")["neighborCapabilities"]
    assert capabilities["routeRefresh"] == capabilities["4byteAs"] == "advertisedAndReceived"
    assert capabilities["enhancedRouteRefresh"] == capabilities["gracefulRestart"] == "advertised"
    families = capabilities["multiprotocolExtensions"]
    assert families == {"ipv4Unicast": {"advertisedAndReceived": True}, "ipv6Unicast": {"received": True}}
    shown = bed.vtysh("a", f"show bgp ipv4 unicast {OWN} json")
    assert f'"ip":"{INSTANCE}"' in shown
    assert set(bed.feed.advertised("a")) == {OWN}
    assert bed.feed.routes["a", "10.250.0.0/16"]["as_path"] == [65001]


def test_branch_to_branch_is_switched_at_run_time(bed: Bed) -> None:
    start_pair(bed)
    bed.feed.configure(server(branch_to_branch=True))
    until("a to hear b", lambda: bed.learned("a") == {OWN: "65515", "0.0.0.0/0": "65515 65002"})
    until("b to hear a", lambda: bed.learned("b") == {OWN: "65515", "10.250.0.0/16": "65515 65001"})
    assert bed.feed.advertised("a")["0.0.0.0/0"]["communities"] == [[65517, 65517]]
    bed.feed.configure(server())
    until("a to lose b's routes", lambda: bed.learned("a") == {OWN: "65515"})
    until("b to lose a's routes", lambda: bed.learned("b") == {OWN: "65515"})


def test_its_open_is_azures(bed: Bed) -> None:
    """[bgp-capabilities], byte by byte; a peer that offers IPv6 gets an End-of-RIB for it, and no route."""
    start(bed, b2b=True)
    a = bed.raw_speaker("a", A, 65001, ipv6=True)
    b = bed.raw_speaker("b", B, 65002)
    families, asn4, refresh = ("0206010400010001", "0206010400020001"), "020641040000ffeb", "02020200"
    wanted = bytes.fromhex("04" + "ffeb" + "00b4" + "0a010004" + "1c" + "".join(families) + asn4 + refresh)
    assert [body for _, kind, body in a.received if kind == 1] == [wanted]
    end_of_ipv6 = bytes.fromhex("00000007" + "900f0003" + "000201")
    until("a's ends of RIB", lambda: {bytes(4), end_of_ipv6} <= {body for _, body in a.updates()})
    until("b's end of RIB", lambda: bytes(4) in {body for _, body in b.updates()})
    reach = bytes.fromhex("0002" + "01" + "10" + "20010db8" + "00" * 11 + "01" + "00" + "2020010db8")
    a.send(
        update(attribute(1, b"\0") + attribute(2, path(65001)) + attribute(14, reach, 0x80)),
        update(usual(a), ["10.64.0.0/16"]),
    )
    until("b to have the IPv4 route alone", lambda: raw_updates(b)[0] == {OWN, "10.64.0.0/16"})
    assert end_of_ipv6 not in {body for _, body in b.updates()}
    assert bed.feed.prefixes("a") == {"10.64.0.0/16"}
    assert bed.feed.state("a") == "Established"


def test_who_is_refused_is_reported_with_the_reason(bed: Bed) -> None:
    start(bed)
    bed.add_node("stranger", "10.1.0.66")
    bed.add_node("a", A)
    bad_as = "OPEN message error: bad peer AS"
    refused = [
        ("stranger", b"", "0603", "no peer has this address (peer de-configured)"),
        ("a", opening(64999, A), "0202", f"{bad_as} (64999 in its OPEN, 65001 registered)"),
        ("a", opening(4200000001, A), "0202", f"{bad_as} (4200000001 in its OPEN, 65001 registered)"),
        ("a", opening(65001, A, hold_time=2), "0206", "OPEN message error: unacceptable hold time"),
        ("a", opening(65001, "0.0.0.0"), "0203", "OPEN message error: bad BGP identifier"),
        ("a", opening(65001, A, version=3), "0201", "OPEN message error: unsupported version number"),
    ]
    for node, sent, notification, _ in refused:
        kind, body = bed.answer(node, sent)[-1]
        assert (kind, body[:2].hex()) == (3, notification)
    peers = {"stranger": ("10.1.0.66", ""), "a": (A, "a")}
    until("the reports", lambda: bed.feed.refused == [(*peers[node], reason) for node, _, _, reason in refused])
    for _ in range(3):
        bed.answer("stranger")
    for asn in range(64000, 64020):
        bed.answer("a", opening(asn, A))
    assert len(bed.feed.refused) == 6, "what repeats, and what keeps changing, is not reported"


def test_a_second_connection_of_a_peer_is_reported(bed: Bed) -> None:
    start(bed)
    bed.raw_speaker("a", A, 65001)
    until("the session", lambda: bed.feed.state("a") == "Established")
    bed.answer("a", opening(65001, A))
    until("the report", lambda: bed.feed.refused == [(A, "a", "connection collision resolution")])
    assert bed.feed.state("a") == "Established"


def test_before_a_session_only_the_outcome_counts(bed: Bed) -> None:
    """What changed before it is not advertised in it: ExaBGP would mix up the order, and leave withdrawals out."""
    witness = BgpPeer("c", 65003, IPv4Address("10.1.0.30"))
    bed.feed.configure(server(branch_to_branch=True, peers=(*server().peers, witness)))
    bed.start_exabgp({**PEERS, str(witness.address): witness.asn})
    until("the instance to be ready", bed.ready)
    a, c = bed.raw_speaker("a", A, 65001), bed.raw_speaker("c", str(witness.address), witness.asn)
    gone, stays, longer = "10.66.0.0/24", "10.67.0.0/24", "10.68.0.0/24"
    for number, said in enumerate((
        update(usual(a, 65100), [longer]),
        update(usual(a), [gone, stays]),
        update(usual(a, 65100), [stays]),
        update(b"", withdrawn=[gone]),
    ), 1):  # fmt: skip
        a.send(said)
        until("c to have received so much", lambda seen=number: len(sayings(c)) == 1 + seen)  # type: ignore[misc]
    b = bed.raw_speaker("b", B, 65002)
    until("b to have them", lambda: raw_updates(b)[0] == {OWN, stays, longer})
    assert [set(announced) for announced, _ in sayings(b)] == [{OWN}, {stays, longer}]
    assert [withdrawn for _, withdrawn in sayings(b)] == [[], []]


def test_drops_what_azure_and_bgp_forbid(bed: Bed) -> None:
    start(bed, b2b=True)
    a, b = bed.raw_speaker("a", A, 65001), bed.raw_speaker("b", B, 65002)
    origin, hop = attribute(1, b"\0"), attribute(3, IPv4Address(A).packed)
    # All are accepted at first, so that the bad ones must withdraw them.
    bad = [f"10.66.{i}.0/24" for i in range(8)]
    a.send(update(usual(a), bad))
    until("the routes", lambda: bed.feed.prefixes("a") == {*bad})
    until("b to have them", lambda: {*bad} <= raw_updates(b)[0])
    a.send(
        update(usual(a, 65515), [bad[0]]),  # a loop
        update(usual(a, 0), [bad[1]]),  # AS 0
        update(origin + attribute(2, path(64999)) + hop, [bad[2]]),  # somebody else's AS first
        update(attribute(2, path(65001)) + hop, [bad[3]]),  # no ORIGIN
        update(origin + hop, [bad[4]]),  # no AS_PATH
        update(origin + attribute(2, path(65001)), [bad[5]]),  # no NEXT_HOP
        update(usual(a, next_hop=INSTANCE), [bad[6]]),  # the receiver as next hop
        update(origin + attribute(2, b"\x02\x09\x00") + hop, [bad[7]]),  # a malformed AS_PATH
        update(usual(a), ["10.1.7.0/24", "127.0.0.0/8", "10.67.0.0/24"]),  # its own range, a martian, and a good one
    )
    until("only the good one", lambda: bed.feed.prefixes("a") == {"10.67.0.0/24"})
    until("b to have only that", lambda: raw_updates(b)[0] == {OWN, "10.67.0.0/24"})
    assert bed.feed.state("a") == "Established"


def test_passes_attributes_on(bed: Bed) -> None:
    start(bed, b2b=True)
    a, b = bed.raw_speaker("a", A, 65001), bed.raw_speaker("b", B, 65002)
    extra = (
        attribute(4, (7).to_bytes(4, "big"), 0x80)
        + attribute(6, b"")
        + attribute(7, (65001).to_bytes(4, "big") + bytes([9, 9, 9, 9]), 0xC0)
        + attribute(8, bytes.fromhex("fde90001ffffff01fde90002")[:4], 0xC0)
        + attribute(16, bytes.fromhex("0002fde90000004d0000111122223333"), 0xC0)
        + attribute(32, bytes.fromhex("0000fde90000000100000002"), 0xC0)
        + attribute(0x63, b"\1\2\3", 0xE0)
        + attribute(0x64, b"\4", 0x80)
    )
    as_set = bytes.fromhex("01020000000700000008")
    origin = attribute(1, b"\2") + attribute(2, path(65001, 64600) + as_set)
    a.send(update(origin + attribute(3, IPv4Address(A).packed) + extra, ["10.68.0.0/24"]))
    until("b to have it", lambda: "10.68.0.0/24" in raw_updates(b)[0])
    body = next(body for _, body in b.updates() if parse_update(body)[0] == ["10.68.0.0/24"])
    for wanted in (
        attribute(1, b"\2"),
        attribute(2, path(65515, 65001, 64600) + as_set),
        attribute(3, IPv4Address(INSTANCE).packed),
        attribute(6, b""),
        attribute(7, (65001).to_bytes(4, "big") + bytes([9, 9, 9, 9]), 0xC0),
        attribute(8, bytes.fromhex("fde90001ffedffed"), 0xC0),
        attribute(16, bytes.fromhex("00001111222233330002fde90000004d"), 0xC0),
        attribute(32, bytes.fromhex("0000fde90000000100000002"), 0xC0),
        attribute(0x63, b"\1\2\3", 0xE0),
    ):
        assert wanted in body, (wanted.hex(), body.hex())
    assert b"\x80\x04" not in body, "MED must not leave"
    assert b"\x80\x64" not in body, "an optional attribute that is not transitive must not leave"


def test_a_killed_worker_is_replaced_without_a_trace_in_bgp(bed: Bed) -> None:
    start_pair(bed, b2b=True)
    hears(bed, "a", {OWN, "0.0.0.0/0"})
    hears(bed, "b", {OWN, "10.250.0.0/16"})
    before = {node: bed.neighbor(node) for node in ("a", "b")}
    reported = len(bed.feed.messages)
    for _ in range(3):
        worker = bed.worker_pid()
        assert worker is not None
        os.kill(worker, signal.SIGKILL)
        another_worker(bed, worker)
        reports(bed, reported)
        for _, message in bed.feed.messages[reported:]:
            assert message["type"] == "snapshot"
            assert {name: s["state"] for name, s in message["sessions"].items()} == dict.fromkeys("ab", "Established")
        assert bed.feed.prefixes("a") == {"10.250.0.0/16"}
        assert bed.feed.prefixes("b") == {"0.0.0.0/0"}
        reported = len(bed.feed.messages)
    bed.network("a", 65001, "network 10.251.0.0/16")
    until("later changes to flow", lambda: "10.251.0.0/16" in bed.learned("b"))
    for node, former in before.items():
        now = bed.neighbor(node)
        assert now["connectionsEstablished"] == former["connectionsEstablished"] == 1
        # b received the new route, a nothing.
        expected = former["messageStats"]["updatesRecv"] + (1 if node == "b" else 0)
        assert now["messageStats"]["updatesRecv"] == expected


def test_a_worker_that_dies_while_events_come_in_loses_none(bed: Bed) -> None:
    start(bed, b2b=True)
    a, b = bed.raw_speaker("a", A, 65001), bed.raw_speaker("b", B, 65002)
    for i in range(3000):
        a.send(update(usual(a, 64600 + i % 100), [f"10.{128 + i // 256}.{i % 256}.0/24"]))
        if i % 1000 == 500:
            until("some routes", lambda: len(bed.feed.prefixes("a")) > 0)
            worker = until("a worker", bed.worker_pid)
            os.kill(worker, signal.SIGKILL)
            another_worker(bed, worker)
        if i % 10 == 0:
            a.send(update(b"", [], [f"10.{128 + i // 256}.{i % 256}.0/24"]))
    wanted = {f"10.{128 + i // 256}.{i % 256}.0/24" for i in range(3000) if i % 10}
    until("the feed to have all", lambda: bed.feed.prefixes("a") == wanted)
    until("b to have all", lambda: raw_updates(b)[0] == wanted | {OWN})
    assert bed.feed.state("a") == bed.feed.state("b") == "Established"


def test_what_happens_between_workers_is_not_missed(bed: Bed) -> None:
    """The keeper is stopped, so that no worker comes until routes have come and gone."""
    start_pair(bed, b2b=True, a=("10.250.0.0/16", "10.251.0.0/16"))
    until("b to hear a", lambda: len(bed.learned("b")) == 3)
    keeper, worker = bed.keeper_pid(), bed.worker_pid()
    assert keeper is not None
    assert worker is not None
    os.kill(keeper, signal.SIGSTOP)
    os.kill(worker, signal.SIGKILL)
    bed.network("a", 65001, "no network 10.250.0.0/16", "network 10.252.0.0/16")
    until("a to have told", lambda: bed.neighbor("a")["messageStats"]["depthOutq"] == 0)
    os.kill(keeper, signal.SIGCONT)
    until("the feed to know", lambda: bed.feed.prefixes("a") == {"10.251.0.0/16", "10.252.0.0/16"})
    until("b to know", lambda: set(bed.learned("b")) == {OWN, "10.251.0.0/16", "10.252.0.0/16"})


def test_a_killed_keeper_is_replaced_by_exabgp(bed: Bed) -> None:
    start_pair(bed)
    keeper, reported = bed.keeper_pid(), len(bed.feed.messages)
    assert keeper is not None
    os.kill(keeper, signal.SIGKILL)
    until("another keeper with its worker", lambda: bed.keeper_pid() not in {None, keeper} and bed.worker_pid())
    reports(bed, reported)
    assert [m["type"] for _, m in bed.feed.messages[reported:]] == ["snapshot"]
    settled(bed, {"10.250.0.0/16"})
    assert bed.neighbor("a")["connectionsEstablished"] == 1


def test_a_killed_exabgp_is_reported_and_comes_back(bed: Bed) -> None:
    start_pair(bed)
    speaker = bed.speaker_pid()
    assert speaker is not None
    os.kill(speaker, signal.SIGKILL)
    until("the report", lambda: bed.feed.down)
    assert bed.feed.down == "the BGP speaker ended"
    assert not bed.feed.routes
    assert bed.exabgp is not None
    bed.exabgp.wait()
    bed.start_exabgp(PEERS)
    settled(bed, {"10.250.0.0/16"})


def test_sessions_that_flap(bed: Bed) -> None:
    start_pair(bed, b2b=True)
    for _ in range(3):
        reported = len(bed.feed.messages)
        bed.vtysh("a", f"clear bgp {INSTANCE}")
        reports(bed, reported, session="a")
        settled(bed, {"10.250.0.0/16"})
        until("b to hear a again", lambda: "10.250.0.0/16" in bed.learned("b"))
    reasons = {m["sessions"]["a"]["reason"] for _, m in bed.feed.messages if "a" in m["sessions"]}
    assert "administrative reset (received from the peer)" in reasons
    # While a is away, b changes: a must not get what ExaBGP cached for it.
    pid = bed.bgpd_pid("a")
    bed.run(["kill", "-9", str(pid)])
    until("a to be gone", lambda: bed.feed.state("a") == "Idle")
    bed.network("b", 65002, "no network 0.0.0.0/0", "network 10.9.0.0/16")
    until("the change", lambda: bed.feed.prefixes("b") == {"10.9.0.0/16"})
    bed.start_bgpd("a")
    until("a to be told", lambda: bed.established("a") and len(bed.learned("a")) == 2)
    assert set(bed.learned("a")) == {OWN, "10.9.0.0/16"}


def test_a_silent_death_ends_with_the_hold_time(bed: Bed) -> None:
    start_pair(bed)
    bed.run(["ip", "link", "set", "port-a", "down"])
    until("the hold timer", lambda: bed.feed.state("a") == "Idle")
    assert bed.feed.sessions["a"]["reason"] == "hold timer expired"
    assert bed.feed.state("b") == "Established"
    bed.run(["ip", "link", "set", "port-a", "up"])
    settled(bed, {"10.250.0.0/16"})


@pytest.mark.parametrize("count", [1000, 10_000])
def test_many_routes(bed: Bed, count: int) -> None:
    start(bed, b2b=True, limit=20_000)
    routes = {f"10.{64 + i // 256}.{i % 256}.0/24" for i in range(count)}
    bed.start_frr("a", A, 65001, sorted(routes))
    bed.start_frr("b", B, 65002, ["0.0.0.0/0"])
    until("the feed to have all", lambda: bed.feed.prefixes("a") == routes)
    until("b to have all", lambda: set(bed.learned("b")) == routes | {OWN})
    worker = bed.worker_pid()
    assert worker is not None
    reported = len(bed.feed.messages)
    before = bed.neighbor("b")["messageStats"]["updatesRecv"]
    os.kill(worker, signal.SIGKILL)
    reports(bed, reported)
    assert bed.feed.prefixes("a") == routes
    assert bed.neighbor("b")["messageStats"]["updatesRecv"] == before


def test_neighbours_come_and_go_while_another_floods(bed: Bed) -> None:
    """ExaBGP loses a reload while it has routes to send: the neighbours are what they should be all the same."""
    alone = replace(server(branch_to_branch=True, routes_per_peer=20_000), peers=server().peers[:1])
    both = replace(alone, peers=server().peers)
    bed.feed.configure(alone)
    bed.start_exabgp({A: 65001}, 20)
    until("the instance to be ready", bed.ready)
    bed.start_frr("b", B, 65002, ["0.0.0.0/0"])
    routes = {f"10.{64 + i // 256}.{i % 256}.0/24" for i in range(5000)}
    until("b to be refused", lambda: bed.neighbor("b").get("lastResetDueTo"))
    bed.start_frr("a", A, 65001, sorted(routes))
    until("the flood", lambda: len(bed.feed.prefixes("a")) > 100)

    bed.feed.configure(both)
    until("b's session", lambda: bed.feed.state("b") == "Established")
    until("b to have all", lambda: set(bed.learned("b")) == routes | {OWN})
    speaker, worker = bed.speaker_pid(), bed.worker_pid()
    bed.feed.configure(alone)
    until("b's routes to be gone", lambda: not bed.feed.prefixes("b"))
    until("b to lose all", lambda: not bed.learned("b"))
    bed.feed.configure(both)
    until("b to have all again", lambda: set(bed.learned("b")) == routes | {OWN})
    assert (bed.speaker_pid(), bed.worker_pid()) == (speaker, worker), "nothing had to be restarted"
    assert bed.feed.state("a") == "Established"
    assert bed.neighbor("a")["connectionsDropped"] == 0


def test_the_limit_ends_the_session_and_counts_as_azure_does(bed: Bed) -> None:
    start(bed, limit=100)
    a = bed.raw_speaker("a", A, 65001)
    a.send(update(usual(a), [f"10.64.{i}.0/24" for i in range(60)]))
    until("the routes", lambda: len(bed.feed.prefixes("a")) == 60)
    # 60 held and 60 again are 120, but only as an announcement of its own: after a pause.
    a.send(update(usual(a), [f"10.64.{i}.0/24" for i in range(60)]))
    bed.feed.configure(server(routes_per_peer=100, branch_to_branch=True))
    until("its advertisement", lambda: set(bed.feed.advertised("a")) == {OWN})
    assert bed.feed.state("a") == "Established"
    a.send(update(usual(a), [f"10.65.{i}.0/24" for i in range(41)]))
    until("the teardown", lambda: bed.feed.state("a") == "Idle")
    assert bed.feed.sessions["a"]["reason"] == "101 routes counted, 100 allowed"
    assert not bed.feed.prefixes("a")
    until("the notification", lambda: any(k == 3 and b[:2] == b"\6\1" for _, k, b in a.received))


def test_a_peer_that_can_not_be_asked_for_its_routes_is_reset(bed: Bed) -> None:
    start(bed)
    a = bed.raw_speaker("a", A, 65001, refreshes=False)
    a.send(update(usual(a), ["10.64.0.0/16"]))
    bed.start_frr("b", B, 65002, ["0.0.0.0/0"])
    until("a's route", lambda: bed.feed.prefixes("a") == {"10.64.0.0/16"})
    until("b's route", lambda: bed.feed.prefixes("b") == {"0.0.0.0/0"})
    bed.feed.refresh()
    until("the reset", lambda: any(k == 3 and b[:2] == b"\6\4" for _, k, b in a.received))
    until("its routes to be gone", lambda: not bed.feed.prefixes("a"))
    until("b to be asked", lambda: bed.neighbor("b")["messageStats"]["routeRefreshRecv"])
    assert bed.neighbor("b")["connectionsDropped"] == 0


def test_storms_cost_what_their_outcome_costs(bed: Bed) -> None:
    start(bed, b2b=True)
    a, b = bed.raw_speaker("a", A, 65001), bed.raw_speaker("b", B, 65002)
    prefixes = [f"10.64.{i}.0/24" for i in range(200)]
    for i in range(300):
        a.send(update(usual(a, 64600 + i), prefixes), update(b"", [], prefixes))
    a.send(update(usual(a, 64000), prefixes))
    until("b to have the last", lambda: raw_updates(b)[0] == {*prefixes, OWN})
    until("the feed to have the last", lambda: _path(bed.feed, prefixes[7]) == [65001, 64000])
    assert bed.feed.state("a") == bed.feed.state("b") == "Established"
    assert len(b.updates()) < 1500


def _path(feed: FeedServer, prefix: str) -> object:
    return feed.routes.get(("a", prefix), {}).get("as_path")


def test_without_a_controller_bgp_goes_on(bed: Bed) -> None:
    start_pair(bed, b2b=True)
    bed.feed.stop()
    bed.network("a", 65001, "network 10.251.0.0/16")
    until("b to hear of it", lambda: "10.251.0.0/16" in bed.learned("b"))
    feed = FeedServer(bed.directory / "feed.sock")
    feed.config = bed.feed.config
    bed.feed = feed
    feed.start()
    settled(bed, {"10.250.0.0/16", "10.251.0.0/16"})


def test_nothing_is_advertised_before_there_is_a_configuration(bed: Bed) -> None:
    bed.start_exabgp(PEERS)
    a, b = bed.raw_speaker("a", A, 65001), bed.raw_speaker("b", B, 65002)
    a.send(update(usual(a), ["10.64.0.0/24"]))
    until("ends of RIB", lambda: all(s.updates() for s in (a, b)))
    assert raw_updates(b)[0] == set()
    assert not bed.ready()
    assert not bed.feed.messages
    bed.feed.configure(server(branch_to_branch=True))
    until("readiness", bed.ready)
    until("b to hear", lambda: raw_updates(b)[0] == {OWN, "10.64.0.0/24"})
    until("the feed to hear", lambda: bed.feed.prefixes("a") == {"10.64.0.0/24"})


def test_a_hung_worker_is_replaced(bed: Bed) -> None:
    start_pair(bed, watchdog=2)
    worker = bed.worker_pid()
    assert worker is not None
    os.kill(worker, signal.SIGSTOP)
    another_worker(bed, worker)
    settled(bed, {"10.250.0.0/16"})
    assert bed.neighbor("a")["connectionsEstablished"] == 1


def test_a_hung_exabgp_is_killed_with_its_helper(bed: Bed) -> None:
    start_pair(bed, watchdog=2)
    speaker, keeper = bed.speaker_pid(), bed.keeper_pid()
    assert speaker is not None
    assert keeper is not None
    os.kill(speaker, signal.SIGSTOP)
    until("the keeper to end", lambda: _has_ended(keeper))
    until("ExaBGP to be dead", lambda: _has_ended(speaker))
    assert bed.exabgp is not None
    os.kill(bed.exabgp.pid, signal.SIGCONT)  # nsenter stops with its child
    assert bed.exabgp.wait(60) != 0
    bed.start_exabgp(PEERS)
    settled(bed, {"10.250.0.0/16"})


def _has_ended(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("step", [3600, -3600])
def test_a_step_of_the_wall_clock_ends_no_session(bed: Bed, step: int) -> None:
    start_pair(bed, more=f" neighbor {INSTANCE} timers 2 6\n")
    before = bed.neighbor("a")
    bed.set_clock(step)
    several = before["messageStats"]["keepalivesRecv"] + 4  # more than the hold time of 6 s without one
    until("keepalives", lambda: bed.neighbor("a")["messageStats"]["keepalivesRecv"] >= several)
    after = bed.neighbor("a")
    assert after["bgpState"] == "Established"
    assert after["connectionsDropped"] == before["connectionsDropped"]


def test_an_instance_that_stops_sends_a_notification(bed: Bed) -> None:
    start_pair(bed)
    keeper = bed.keeper_pid()
    assert keeper is not None
    os.kill(keeper, signal.SIGTERM)
    assert bed.exabgp is not None
    bed.exabgp.wait(60)
    assert bed.neighbor("a")["lastNotificationReason"] == "Cease/Administrative Shutdown"


def test_exabgp_asked_to_end_takes_everything_with_it(bed: Bed) -> None:
    start_pair(bed)
    speaker, keeper, worker = bed.speaker_pid(), bed.keeper_pid(), bed.worker_pid()
    assert speaker is not None
    os.kill(speaker, signal.SIGTERM)
    assert bed.exabgp is not None
    assert bed.exabgp.wait(60) == 0
    until("the helper to end", lambda: not any(Path(f"/proc/{pid}").exists() for pid in (keeper, worker)))
    until("the report", lambda: bed.feed.down)


def test_the_bed_leaves_nothing(tmp_path: Path) -> None:
    with Bed(tmp_path) as bed:
        start(bed)
        inner = children(bed._init.pid)
    until("the processes to end", lambda: not any(Path(f"/proc/{pid}").exists() for pid in inner))
