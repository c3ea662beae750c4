"""A hostile peer of a route server: BGP by the cases of RFC 7606, against the real speaker and labkit's worker.

The short suite has the same messages in every run, the long one looks for new ones, and prints the seed that repeats
them: LABKIT_FUZZ_SEED=… make soak.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from labkit.azure.model import BgpPeer
from tests.e2e.bgp_bed import INSTANCE, Bed, RawSpeaker, parse_update, until
from tests.e2e.bgp_fuzzer import SERIALS, Checkpoint, Summary
from tests.e2e.test_routeserver import OWN, PEERS, A, B, server
from tests.e2e.waiting import eventually
from tests.extent import LONG

MESSAGES = 100_000 if LONG else 4_000
SEED = int(os.environ.get("LABKIT_FUZZ_SEED") or (random.randrange(1 << 32) if LONG else 7606))
HOSTILE, JUDGE = 65001, "10.1.0.30"
FROM_JUDGE = "172.16.0.0/16"


class Witness:
    """A peer of bytes that looks at every UPDATE: that it is valid, and from which message of the hostile peer."""

    def __init__(self, speaker: RawSpeaker) -> None:
        self.speaker = speaker
        self.routes: dict[str, int] = {}
        self._seen = 0

    def difference(self, routes: dict[str, int], serials: set[int]) -> dict[str, tuple[int | None, int | None]]:
        """Where it has other routes than these; adds the serial numbers of what was advertised since the last look."""
        updates = self.speaker.updates()
        for _, body in updates[self._seen :]:
            announced, withdrawn = parse_update(body)
            for prefix in withdrawn:
                self.routes.pop(prefix, None)
            if not announced or announced in ([OWN], [FROM_JUDGE]):
                continue
            serial = origin(body)
            serials.add(serial)
            self.routes |= dict.fromkeys(announced, serial)
        self._seen = len(updates)
        prefixes = self.routes.keys() | routes.keys()
        return {p: pair for p in prefixes if (pair := (self.routes.get(p), routes.get(p))) != (pair[0], pair[0])}


def origin(body: bytes) -> int:
    """The serial number of an advertised path whose attributes are as they must be."""
    gone = int.from_bytes(body[:2], "big")
    data = body[4 + gone : 4 + gone + int.from_bytes(body[2 + gone : 4 + gone], "big")]
    attributes: dict[int, tuple[int, bytes]] = {}
    while data:
        head = 4 if data[0] & 0x10 else 3
        size = int.from_bytes(data[2:head], "big")
        assert data[1] not in attributes, f"attribute {data[1]} twice: {body.hex()}"
        attributes[data[1]] = data[0] & 0xEF, data[head : head + size]
        assert len(data) >= head + size, f"attribute {data[1]} overruns: {body.hex()}"
        data = data[head + size :]
    known = {
        1: (0x40, 1),
        2: (0x40, 0),
        3: (0x40, 4),
        6: (0x40, 0),
        7: (0xC0, 8),
        8: (0xC0, 4),
        16: (0xC0, 8),
        32: (0xC0, 12),
    }
    assert {1, 2, 3} <= attributes.keys(), body.hex()
    for code, (flags, value) in attributes.items():
        if code in known:
            assert flags == known[code][0], f"flags of attribute {code}: {body.hex()}"
            assert not known[code][1] or (value and len(value) % known[code][1] == 0), f"length of {code}: {body.hex()}"
        else:
            assert flags == 0xE0, f"an unknown attribute that is not optional, transitive and partial: {body.hex()}"
    assert attributes[3][1] == IPv4Address(INSTANCE).packed
    asns = []
    path = attributes[2][1]
    while path:
        assert path[0] in (1, 2), f"segment type: {body.hex()}"
        assert path[1] > 0, f"empty segment: {body.hex()}"
        asns += [int.from_bytes(path[i : i + 4], "big") for i in range(2, 2 + 4 * path[1], 4)]
        path = path[2 + 4 * path[1] :]
    assert asns[:2] == [65515, HOSTILE], body.hex()
    return asns[-1] - SERIALS


def has_prefixes(bed: Bed, prefixes: list[str]) -> bool:
    """Whether the controller has these of the hostile peer."""
    return bed.feed.prefixes("a") == {*prefixes}


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    with Bed(tmp_path) as bed:
        yield bed


def test_a_hostile_peer_harms_nobody_else(bed: Bed) -> None:
    judge = BgpPeer("c", 65003, IPv4Address(JUDGE))
    bed.feed.configure(replace(server(branch_to_branch=True), peers=(*server().peers, judge)))
    bed.start_exabgp({**PEERS, JUDGE: 65003})
    until("the instance to be ready", bed.ready)
    bed.add_node("a", A)
    witness = Witness(bed.raw_speaker("b", B, 65002))
    bed.start_frr("c", JUDGE, 65003, [FROM_JUDGE])
    until("the judge's route", lambda: bed.feed.prefixes("c") == {FROM_JUDGE})
    print(f"LABKIT_FUZZ_SEED={SEED}")
    processes = bed.speaker_pid(), bed.keeper_pid(), bed.worker_pid()

    script = str(Path(__file__).with_name("bgp_fuzzer.py"))
    arguments = [INSTANCE, A, str(HOSTILE), OWN, str(SEED), str(MESSAGES)]
    fuzzer = bed.spawn(
        [sys.executable, script, *arguments], "fuzzer", "a", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert fuzzer.stdin is not None
    assert fuzzer.stdout is not None
    summary = None
    for line in fuzzer.stdout:
        content = json.loads(line)
        if "complaints" in content:
            summary = Summary(**content)
            break
        checkpoint = Checkpoint(**content)
        serials: set[int] = set()
        compare = partial(witness.difference, checkpoint.routes, serials)
        eventually(compare, lambda different: not different, what=f"the same after {checkpoint.messages} messages")
        if not checkpoint.wild:
            wrong = [checkpoint.names.get(str(serial)) for serial in serials - {*checkpoint.accepted}]
            assert not wrong, f"advertised, though it must not be: {wrong}"
        until("the controller to have the same", partial(has_prefixes, bed, checkpoint.held))
        fuzzer.stdin.write("\n")
        fuzzer.stdin.flush()
    assert summary is not None, "the fuzzer ended before its time"
    print(json.dumps(summary.cases, indent=1), summary.sessions, summary.resets)
    assert not summary.complaints, "\n".join(summary.complaints)
    assert (bed.speaker_pid(), bed.keeper_pid(), bed.worker_pid()) == processes, "no process had to be replaced"
    assert not [kind for _, kind, _ in witness.speaker.received if kind == 3], "the witness got a NOTIFICATION"
    judgement = until("the judge to answer", lambda: bed.neighbor("c"))
    assert judgement["connectionsEstablished"] == 1, judgement
    assert bed.feed.state("b") == bed.feed.state("c") == "Established"
    until("the judge to have its own range alone", lambda: set(bed.learned("c")) == {OWN, *witness.routes})
    assert "ExaBGP refused a command" not in (bed.directory / "exabgp.log").read_text()
