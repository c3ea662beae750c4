"""What NVAs of the kinds that workshops fail with do to routes and packets."""

from __future__ import annotations

import json
from ipaddress import IPv4Address

import pytest

from labkit.cli.app import run as labkit
from labkit.operate.look.probes import MAX_HOPS, traceroute
from labkit.pytest import Boot, RunningLab
from tests.e2e.in_lab import dialogue, lab_file, problems, python, reaches, run, traced
from tests.e2e.waiting import SOON

BRANCH_HOST, INTERNET = IPv4Address("10.250.0.10"), IPv4Address("198.51.100.10")
CONNECTIONS = 24

ECHO_SERVER = """
    import selectors, socket
    listener = socket.create_server(("", 7000), backlog=100)
    listener.setblocking(False)
    events = selectors.DefaultSelector()
    events.register(listener, selectors.EVENT_READ)
    print("ready")
    while True:
        for key, _ in events.select():
            if key.fileobj is listener:
                events.register(listener.accept()[0], selectors.EVENT_READ)
            elif data := key.fileobj.recv(100):
                key.fileobj.send(data)
            else:
                events.unregister(key.fileobj)
                key.fileobj.close()
"""

# How many connections, all begun at once, have an answer within three seconds, in which TCP tries twice.
CLIENT = """
    import socket, sys, threading
    def talk():
        try:
            with socket.create_connection((sys.argv[1], 7000), 3) as one:
                one.sendall(b"hello")
                alive.append(one.recv(100) == b"hello")
        except OSError:
            alive.append(False)
    alive = []
    threads = [threading.Thread(target=talk) for _ in range(int(sys.argv[2]))]
    [t.start() for t in threads]
    [t.join() for t in threads]
    print(sum(alive))
"""


def connections(lab: RunningLab, server: str, address: IPv4Address, client: str = "vm1") -> int:
    """How many of `CONNECTIONS` from a machine to a server are answered."""
    with dialogue(lab, server, ECHO_SERVER) as listening:
        assert listening.line() == "ready"
        return int(python(lab, client, CLIENT, address, CONNECTIONS))


# FRR's options.


def test_a_session_without_multihop_comes_up_and_one_without_policy_is_silent(
    labkit_lab: Boot, capfd: pytest.CaptureFixture[str]
) -> None:
    lab = labkit_lab(lab_file("nva-options"))
    assert problems(lab, SOON) == []
    # FRR's table shows a route as best that its routing table has as inactive.
    assert labkit(["routes", "near", "--bgp", "--lab", lab.lab.name]) == 0
    shown = capfd.readouterr()
    assert " *>  10.1.0.0/16 " in shown.out
    assert "not used, though shown as best: 10.1.0.0/16." in shown.err
    assert labkit(["routes", "fresh", "--bgp", "--lab", lab.lab.name]) == 0
    assert "not used" not in capfd.readouterr().err
    configured = run(lab, "near", "vtysh", "-c", "show running-config")
    assert "ebgp-multihop" not in configured
    peers = json.loads(run(lab, "fresh", "vtysh", "-c", "show bgp ipv4 unicast summary json"))["peers"]
    assert {(p["state"], p["pfxRcd"], p["pfxSnt"]) for p in peers.values()} == {("Established", 0, 0)}
    assert len(peers) == 3


# Paths without 65515, and no filter.


@pytest.fixture(scope="module", params=["", "filtered"])
def boomerang(labkit_lab: Boot, request: pytest.FixtureRequest) -> RunningLab:
    return labkit_lab(lab_file("boomerang"), variant=request.param)


def test_what_one_route_server_advertises_comes_to_the_other_one(boomerang: RunningLab) -> None:
    assert problems(boomerang, SOON) == []
    learned = boomerang.client.get("learned-routes", "rs2", "nva")
    by_nva = {row["asPath"] for rows in learned.values() for row in rows if row["network"] == "10.250.0.0/16"}
    found = traced(boomerang, "vm2", "onprem")
    if boomerang.lab.variant:
        assert by_nva == set()
        assert found.verdict == "delivered", found
        return
    assert by_nva == {"65001-12076-65020"}
    nva = boomerang.lab.azure.nic["nva"].address
    assert traceroute(boomerang.client, "vm2", BRANCH_HOST) == [nva] * MAX_HOPS
    said = boomerang.client.run("vm2", "ping", "-n", "-c", "1", "-W", "2", str(BRANCH_HOST)).stdout
    assert f"From {nva}" in said
    assert "Time to live exceeded" in said
    assert found.verdict == "loops until its TTL expires", found
    reaches(boomerang.client, "vm1", BRANCH_HOST, what="where ExpressRoute is preferred it does no harm")


# Two firewalls.


@pytest.mark.parametrize(
    ("variant", "by_site", "by_internet"),
    [
        # To the site, those live whose way there leads through the one firewall that is the way back. The Internet
        # answers the machine itself, past both.
        ("", range(1, CONNECTIONS), [0]),
        pytest.param("snat", range(1, CONNECTIONS), [CONNECTIONS]),
        pytest.param("prepend", [CONNECTIONS], [0]),
    ],
)
def test_two_active_stateful_appliances(
    labkit_lab: Boot, variant: str, by_site: range | list[int], by_internet: list[int]
) -> None:
    lab = labkit_lab(lab_file("stateful"), variant=variant)
    assert problems(lab) == [], "ping is fine"
    assert connections(lab, "branch-host", BRANCH_HOST) in by_site
    assert connections(lab, "internet", INTERNET) in by_internet
