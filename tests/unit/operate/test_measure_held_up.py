"""Measuring on a busy machine, where the programs at both ends are held up: what is not known is not lost."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address
from itertools import accumulate, pairwise
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.operate.look.client import LabClient
from labkit.operate.measure.flow_loss import Direction
from labkit.operate.measure.flows import FlowEnds, Flows, Pace
from labkit.operate.measure.packets import PATIENCE, Packets, ProbeFacts
from tests.e2e.waiting import SOON, eventually

NONE = Direction(0, None)
SETTLE = 0.5


class Local:
    """A runtime whose nodes are processes of this machine, with addresses of the loopback."""

    def __init__(self) -> None:
        self.programs: dict[str, subprocess.Popen[bytes]] = {}

    def stream(self, _lab: str, node: str, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        self.programs[node] = subprocess.Popen([sys.executable, *argv[1:]], stdin=pipe, stdout=pipe, stderr=pipe)
        return self.programs[node]


@pytest.fixture(name="local")
def well_flows() -> Iterator[tuple[Flows, Local, float]]:
    """Flows that have lost nothing for `SETTLE` seconds, their runtime, and when these seconds began."""
    runtime = Local()
    client = cast(LabClient, SimpleNamespace(runtime=runtime, record=SimpleNamespace(lab="")))
    ends = FlowEnds("vm1", IPv4Address("127.0.0.1"), "vm2", IPv4Address("127.0.0.2"))
    with contextlib.closing(Flows(client, ends, Pace(8, 0.005), 60)) as flows:
        flows.start()
        assert flows.until(lambda: all(flows.packets.steady()), SOON)
        began = time.monotonic()
        assert flows.until(lambda: flows.packets.well(began, SETTLE) == 8, SOON)
        yield flows, runtime, began


@contextlib.contextmanager
def held_up(flows: Flows, program: subprocess.Popen[bytes], until: Callable[[], bool]) -> Iterator[None]:
    """Hold a program up until something is so; first the flows go on without it for a while."""

    def go_on() -> None:
        eventually(until, bool)
        program.send_signal(signal.SIGCONT)

    program.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    flows.until(lambda: flows.packets.end > began + 0.3, 1.0)  # a sender that is held up sends nothing
    thread = threading.Thread(target=go_on)
    thread.start()
    yield
    thread.join()


@pytest.mark.parametrize("node", ["vm1", "vm2"])
def test_who_is_held_up_at_the_end_has_lost_nothing(local: tuple[Flows, Local, float], node: str) -> None:
    """For longer than packets may take there and back: it is waited for."""
    flows, runtime, began = local
    end = time.monotonic() + 2 * PATIENCE + 0.5
    with held_up(flows, runtime.programs[node], lambda: time.monotonic() > end):
        flows.finish()
    for flow in flows.results(began, began, SETTLE):
        assert (flow.recovered, flow.forward, flow.backward, flow.unknown) == (True, NONE, NONE, 0)


def test_who_is_held_up_for_too_long_leaves_it_open(
    local: tuple[Flows, Local, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packets without an answer are not lost, and whether flows have recovered from then on is not known."""
    flows, runtime, began = local
    broken = time.monotonic()
    monkeypatch.setattr("labkit.operate.measure.flows._KNOWN_WITHIN", 0.2)
    with held_up(flows, runtime.programs["vm2"], lambda: runtime.programs["vm1"].poll() is not None):
        flows.finish()
    for since, recovered in ((began, True), (broken, None)):
        for flow in flows.results(began, since, SETTLE):
            assert (flow.recovered, flow.forward, flow.backward) == (recovered, NONE, NONE)
            assert 0 < flow.unknown < flow.sent


HOLDS = st.lists(st.sampled_from((0.01, 0.1, 1.0, 4.0)), min_size=1, max_size=12)
DELAYS = st.sampled_from((None, 0.0, PATIENCE))
CALM = [0.25] * 20


@given(HOLDS, HOLDS, st.data())
def test_what_is_known_is_so_however_long_programs_are_held_up(
    sender: list[float], responder: list[float], data: st.DataObject
) -> None:
    """The sender sends a packet and looks after each of its holds, the responder looks after its own.

    Delays are there and back; None is a packet that is lost. In the end nobody is held up any more.
    """
    sends, looks = ([*accumulate((*holds, *CALM))] for holds in (sender, responder))
    end = max(sends[-1], looks[-1])
    for times in (sends, looks):
        times.extend(accumulate(CALM, initial=end + 0.25))
    # What the responder has read at a look, it has echoed by the next one.
    echoes = [when + data.draw(st.sampled_from((0.0, 1.0))) * (after - when) for when, after in pairwise(looks)]
    ways = [(data.draw(DELAYS), data.draw(DELAYS)) for _ in sender]
    seen: list[list[int]] = [[] for _ in looks]
    back: list[list[int]] = [[] for _ in sends]
    for number, (there, home) in enumerate(ways):
        if there is not None:
            look = bisect_left(looks, sends[number] + there)
            seen[look].append(number)
            if home is not None:
                back[bisect_left(sends, echoes[look] + home)].append(number)
    first: list[ProbeFacts] = [
        {"sent": [when], "back": back[n], "looked": when, "stopped": False} for n, when in enumerate(sends)
    ]
    for line in first[len(sender) :]:
        line.update({"sent": [], "stopped": True})
    second: list[ProbeFacts] = [{"seen": seen[n], "looked": when} for n, when in enumerate(looks)]
    packets, echoed, returned = Packets(1, 0.005), set[int](), set[int]()
    while first or second:  # the lines of one may be read long after those of the other
        line = (first if first and (not second or data.draw(st.booleans())) else second).pop(0)
        packets.take(line)
        echoed.update(line.get("seen", ()))
        returned.update(line.get("back", ()))
        for number, (there, home) in enumerate(ways):
            if sends[number] <= packets.known:
                assert (number in echoed) == (there is not None)
                assert (number in returned) == (there is not None and home is not None)
    assert packets.complete()
    (flow,) = packets.results([9], 0.0, 0.0, 1.0)
    assert (flow.sent, flow.unknown) == (len(sender), 0)
    assert flow.forward.lost == sum(there is None for there, _ in ways)
    assert flow.backward.lost == sum(there is not None and home is None for there, home in ways)
