"""What becomes of packets' fates: losses, outages, recovery; and the programs that find them out, on the loopback."""

from __future__ import annotations

import contextlib
import json
import math
import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import InvalidInput
from labkit.lab.load import load
from labkit.operate.labs.host_command import HostCommand, executable
from labkit.operate.measure import failover as measure
from labkit.operate.measure import flow_probe
from labkit.operate.measure.flow_loss import (
    OPEN,
    RETURNED,
    SEEN,
    UNSEEN,
    Direction,
    Outage,
    judged,
    losses,
    recovered,
)
from labkit.operate.measure.flows import Pace
from labkit.resources import topologies
from tests.e2e.waiting import eventually

NONE = Direction(0, None)
FATE = {"-": UNSEEN, ">": SEEN, "=": RETURNED}


def fates(drawn: str) -> bytes:
    """`-` never seen, `>` seen but not returned, `=` returned."""
    return bytes(FATE[each] for each in drawn)


# --- Fates to losses


@pytest.mark.parametrize(
    ("drawn", "there", "back"),
    [
        ("", NONE, NONE),
        ("====", NONE, NONE),
        ("=-==", Direction(1, Outage(1, 1, 1)), NONE),
        ("=>==", NONE, Direction(1, Outage(1, 1, 1))),
        ("----", Direction(4, Outage(0, 4, 4)), NONE),  # until the end
        ("==>>", NONE, Direction(2, Outage(2, 2, 2))),
        ("=-=--=", Direction(3, Outage(3, 2, 2)), NONE),  # the longest of two
        ("=-=-=", Direction(2, Outage(1, 1, 1)), NONE),  # the first of two that are equal
        ("=->-=", Direction(2, Outage(1, 1, 1)), Direction(1, Outage(2, 1, 1))),  # each direction by itself
        (">-->=", Direction(2, Outage(1, 2, 2)), Direction(2, Outage(0, 1, 1))),  # what never came proves nothing
        ("=>---=", Direction(3, Outage(2, 3, 3)), Direction(1, Outage(1, 1, 1))),
    ],
)
def test_losses(drawn: str, there: Direction, back: Direction) -> None:
    times = [100.0 + i for i in range(len(drawn))]
    assert losses(times, fates(drawn), UNSEEN, 100.0, 100.0 + len(drawn)) == there
    assert losses(times, fates(drawn), SEEN, 100.0, 100.0 + len(drawn)) == back


def test_an_outage_lasts_as_long_as_it_took_and_not_as_many_packets_as_it_had() -> None:
    """A sender that was held up sends fewer."""
    assert losses([0.0, 1.0, 7.0, 8.0], fates("=--="), UNSEEN, 0.0, 9.0) == Direction(2, Outage(1, 7, 2))


@pytest.mark.parametrize(
    ("drawn", "final", "seconds", "earliest", "well"),
    [
        ("====", 4, 4, 0, True),
        ("====", 0, 4, 0, True),  # what came back is known to have come back
        ("-===", 4, 3, 0, True),
        ("-===", 4, 4, 0, False),
        ("===>", 4, 3, 0, False),
        ("===>", 3, 3, 0, True),  # the last may still come back: those before it count
        ("===>", 3, 3, 1, None),  # unless they are too early
        ("===>", 3, 4, 0, None),  # or too few
        ("==>=", 2, 2, 0, None),  # nor is it known of one between others
        ("=->=", 2, 4, 0, False),
        ("", 0, 9, -9, None),  # nothing was sent
    ],
)
def test_recovered(drawn: str, final: int, seconds: float, earliest: float, well: bool | None) -> None:
    times = [float(i) for i in range(len(drawn))]
    assert recovered(times, fates(drawn), final, (seconds, earliest), float(len(drawn))) is well


DRAWN = st.text("->=", max_size=60)
STEPS = st.floats(0.001, 1)


@given(DRAWN, st.data())
def test_every_packet_is_counted_once(drawn: str, data: st.DataObject) -> None:
    times = list(accumulate(data.draw(st.lists(STEPS, min_size=len(drawn), max_size=len(drawn)))))
    end = (times[-1] if times else 0.0) + 0.1
    found = fates(drawn)
    there, back = (losses(times, found, kind, 0.0, end) for kind in (UNSEEN, SEEN))
    assert there.lost + back.lost + found.count(RETURNED) == len(drawn)
    for direction in (there, back):
        assert (direction.lost == 0) == (direction.longest is None)
        if direction.longest is not None:
            assert 1 <= direction.longest.packets <= direction.lost
            assert direction.longest.began in times
            assert 0 < direction.longest.seconds <= end - direction.longest.began
    well = recovered(times, found, len(found), (end + 1, -math.inf), end)
    assert well is (there == back == NONE if drawn else None)
    assert judged(found, len(found)) == found
    assert {*judged(found, 0)} <= {OPEN, RETURNED}


@given(DRAWN, st.integers(1, 100), st.sampled_from("->"))
def test_at_an_even_pace_packets_are_time(drawn: str, milliseconds: int, kind: str) -> None:
    pace = milliseconds / 1000
    times = [i * pace for i in range(len(drawn))]
    longest = losses(times, fates(drawn), FATE[kind], 0.0, len(drawn) * pace).longest
    assert longest is None or math.isclose(longest.seconds, longest.packets * pace)
    rows = "".join(each if each == kind else " " for each in drawn).split()
    assert max(map(len, rows), default=0) == (longest.packets if longest else 0)


@given(DRAWN)
def test_backward_is_forward_seen_from_the_other_end(drawn: str) -> None:
    times = [float(i) for i in range(len(drawn))]
    mirrored = drawn.translate(str.maketrans("->", ">-"))
    there = losses(times, fates(drawn), UNSEEN, 0.0, len(drawn))
    assert there == losses(times, fates(mirrored), SEEN, 0.0, len(drawn))


# --- What is asked for


@pytest.mark.parametrize(
    ("flows", "interval"),
    [(0, 0.005), (-1, 0.005), (65, 1), (8, 0), (8, 0.0009), (8, 2), (8, math.nan), (8, -math.inf), (64, 0.005)],
)
def test_no_floods(flows: int, interval: float) -> None:
    with pytest.raises(InvalidInput) as refused:
        Pace(flows, interval)
    assert refused.value.remedy


def test_the_remedy_for_a_flood_is_none() -> None:
    with pytest.raises(InvalidInput, match="12800 packets a second; at most 5000") as refused:
        Pace(64, 0.005)
    assert "13 ms" in refused.value.remedy
    Pace(64, 0.013)


@pytest.mark.parametrize(("settle", "within"), [(0, 10), (2, 0), (2, math.nan), (2, math.inf), (2, 3601), (-1, 10)])
def test_no_endless_measurements(settle: float, within: float) -> None:
    with pytest.raises(InvalidInput, match="can't be measured"):
        measure.Event((), settle, within)


def test_a_command_must_be_there() -> None:
    with pytest.raises(InvalidInput, match="there is no command labkit-stop"):
        measure.Event(("labkit-stop", "x"), 2, 10)
    assert executable("sh").endswith("/sh")


@pytest.mark.parametrize(
    ("source", "target", "found"),
    [
        ("vm1", "vm2", "vm1 10.1.10.4 vm2 10.1.10.5"),
        ("vm1", "branch", "vm1 10.1.10.4 branch-host 10.250.0.10"),
        ("branch", "vm1", "branch-host 10.250.0.10 vm1 10.1.10.4"),
        ("branch-host", "sdwan-nva", "branch-host 10.250.0.10 sdwan-nva 10.1.1.4"),
        ("vm1", "internet", "vm1 10.1.10.4 internet 198.51.100.10"),
        ("vm1", "10.250.0.10", "vm1 10.1.10.4 branch-host 10.250.0.10"),
        ("vm1", "10.250.0.1", "vm1 10.1.10.4 branch 10.250.0.1"),
        ("sdwan-nva", "vm2", "sdwan-nva 10.1.1.4 vm2 10.1.10.5"),
    ],
)
def test_ends(source: str, target: str, found: str) -> None:
    way = measure.way(load(topologies() / "overview" / "lab.yml"), source, target)
    assert f"{way.source} {way.source_address} {way.target} {way.target_address}" == found


@pytest.mark.parametrize(
    ("source", "target", "says"),
    [
        ("vm9", "vm1", "vm9 is not a virtual machine, NVA or site of lab overview."),
        ("internet", "vm1", "internet is not a virtual machine, NVA or site of lab overview."),
        ("rs1-0", "vm1", "rs1-0 is not a virtual machine"),
        ("10.1.10.4", "vm1", "10.1.10.4 is not a virtual machine"),
        ("vm1", "rs1", "rs1 is not a machine of lab overview, nor the address of one."),
        ("vm1", "10.1.0.4", "10.1.0.4 is not a machine of lab overview"),  # an instance's
        ("vm1", "8.8.8.8", "8.8.8.8 is not a machine of lab overview"),
        ("vm1", "", " is not a machine of lab overview"),
        ("vm1", "vm1", "vm1 and vm1 are the same machine."),
        ("vm1", "10.1.10.4", "vm1 and 10.1.10.4 are the same machine."),
    ],
)
def test_no_such_ends(source: str, target: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        measure.way(load(topologies() / "overview" / "lab.yml"), source, target)
    assert refused.value.message.startswith(says)
    assert refused.value.remedy


# --- The programs, between two addresses of the loopback

TOKEN = "0123456789abcdef"


@contextlib.contextmanager
def program(*words: object) -> Iterator[subprocess.Popen[str]]:
    source = Path(flow_probe.__file__).read_text()
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-Ic", source, *map(str, words)], stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def hear(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout
    found: dict[str, Any] = json.loads(process.stdout.readline())
    return found


def rest(process: subprocess.Popen[str], *before: dict[str, Any]) -> dict[str, list[Any]]:
    """The lists that it printed before and prints until its end, once its standard input has ended."""
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    found: dict[str, list[Any]] = {}
    for facts in (*before, *map(json.loads, out.splitlines())):
        for word in facts.keys() - {"looked", "stopped"}:
            found.setdefault(word, []).extend(facts[word])
    return found


def count(lines: list[dict[str, Any]], word: str) -> int:
    return sum(len(line.get(word, ())) for line in lines)


def test_packets_go_and_come_back() -> None:
    with program("respond", TOKEN, 30, "127.0.0.2", 3) as responder:
        ports = hear(responder)["ports"]
        assert len(set(ports)) == 3
        with program("send", TOKEN, 30, "127.0.0.1", 0.01, "127.0.0.2", *ports) as sender:
            before = [hear(sender)]
            assert len(set(before[0]["ports"])) == 3
            while not before[-1].get("back"):
                before.append(hear(sender))
            assert sender.stdin
            os.write(sender.stdin.fileno(), b".")
            while not before[-1]["stopped"]:
                before.append(hear(sender))
            while count(before, "back") < 3 * count(before, "sent"):
                before.append(hear(sender))
            assert hear(sender)["sent"] == [], "it has stopped"
            sent = rest(sender, *before)
        seen = rest(responder)["seen"]
    packets = list(range(3 * len(sent["sent"])))
    assert packets == sorted(seen) == sorted(sent["back"]), "nothing is lost on the loopback"
    assert sent["sent"] == sorted(sent["sent"])
    assert time.monotonic() - 60 < sent["sent"][0] < time.monotonic(), "the clock is the machine's monotonic one"


def test_a_responder_echoes_nothing_of_others() -> None:
    with program("respond", TOKEN, 30, "127.0.0.2", 1) as responder, socket.socket(type=socket.SOCK_DGRAM) as stranger:
        stranger.connect(("127.0.0.2", hear(responder)["ports"][0]))
        stranger.settimeout(60)
        ours = bytes.fromhex(TOKEN) + (7).to_bytes(8, "big")
        for packet in (b"", b"x" * 16, ours[:-1], ours + b"x", ours):
            stranger.send(packet)
        assert stranger.recv(64) == ours
        assert rest(responder) == {"seen": [7]}


def test_programs_end_by_themselves() -> None:
    """Should nobody close their input."""
    with program("respond", TOKEN, 0.3, "127.0.0.2", 1) as responder:
        assert responder.wait(60) == 0
    with program("send", TOKEN, 0.3, "127.0.0.1", 0.1, "127.0.0.2", 9) as sender:
        assert sender.wait(60) == 0


def test_an_address_that_is_not_there() -> None:
    with program("respond", TOKEN, 30, "192.0.2.1", 1) as responder:
        assert responder.stderr
        assert responder.stderr.read() == "Cannot assign requested address\n"
        assert responder.wait(60) == 1


# --- The command


@contextlib.contextmanager
def host_command(*argv: str) -> Iterator[tuple[HostCommand, list[str], selectors.BaseSelector]]:
    said: list[str] = []
    with selectors.DefaultSelector() as selector, contextlib.closing(HostCommand(argv, selector, said.append)) as it:
        yield it, said, selector


def looked(selector: selectors.BaseSelector) -> bool:
    """Let the output come; whether there may be more."""
    for key, _ in selector.select(0.05):
        key.data()
    return bool(selector.get_map())


def test_a_command_prints_and_ends() -> None:
    with host_command("sh", "-c", "echo one; printf two >&2; exit 3") as (command, said, selector):
        eventually(lambda: looked(selector), lambda more: not more)
        eventually(lambda: command.ended, lambda ended: ended is not None)
        assert (said, command.status) == (["one", "two"], 3)


def test_a_command_that_is_ended_takes_its_children_along() -> None:
    with host_command("sh", "-c", "sleep 1000 & echo $!; wait") as (command, said, selector):
        eventually(lambda: looked(selector) and bool(said), bool)
        assert command.status is None
    assert command.status == 128 + 15

    def state() -> str:
        try:
            return Path(f"/proc/{said[0]}/stat").read_text().split()[2]
        except (FileNotFoundError, ProcessLookupError):
            return "Z"

    eventually(state, lambda now: now == "Z")
