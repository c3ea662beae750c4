"""An overlay over the Internet, between the public addresses of two appliances."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from labkit.operate.look.live_state import LiveState
from labkit.predict.sessions import cut_sessions
from labkit.pytest import Boot, RunningLab
from tests.e2e.by_the_rules import astray, unlike
from tests.e2e.in_lab import dialogue, lab_file, problems, python, reaches, traced, variant
from tests.e2e.waiting import SOON, eventually

WHO = """
    import socket
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("", 7000))
    print("ready")
    while True:
        data, sender = server.recvfrom(100)
        server.sendto(sender[0].encode(), sender)
"""

ASK = """
    import socket, sys
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(20)
        one.sendto(b"who am I?", (sys.argv[1], 7000))
        data, sender = one.recvfrom(100)
        print(data.decode(), sender[0])
"""


@pytest.fixture(scope="module")
def lab(labkit_lab: Boot) -> RunningLab:
    return labkit_lab(lab_file("public-overlay"))


def test_the_overlay_joins_what_nothing_else_joins(lab: RunningLab) -> None:
    assert problems(lab, SOON) == []
    assert unlike(lab.lab, lab.lab.azure, lab.client) == []
    assert astray(lab.lab, lab.client) == []
    traced(lab, "vm1", "vm2", "delivered")


def test_a_public_address_is_its_nics_in_both_directions(lab: RunningLab) -> None:
    """Whoever sends from the NIC has it, everybody else that of the virtual network; the Internet is no hop."""
    internet = lab.lab.internet
    assert internet is not None
    csr1, csr2 = (internet.translated[name] for name in ("csr1", "csr2"))
    of_hub = {leg.virtual_network: leg.public for leg in internet.legs}
    with dialogue(lab, "internet", WHO) as host, dialogue(lab, "csr1", WHO) as appliance:
        assert host.line() == appliance.line() == "ready"

        def seen(node: str, target: IPv4Address) -> str:
            return python(lab, node, ASK, target)

        assert seen("csr1", internet.host) == f"{csr1} {internet.host}"
        assert seen("vm1", internet.host) == f"{of_hub['hub1']} {internet.host}"
        assert seen("csr2", csr1) == f"{csr2} {csr1}"
        assert seen("vm2", csr1) == f"{of_hub['hub2']} {csr1}"
        assert seen("vm1", csr1) == f"{of_hub['hub1']} {csr1}"
    for node in ("vm1", "vm2", "csr2"):
        reaches(lab.client, node, csr1)
        traced(lab, node, str(csr1), "delivered")


def test_a_default_route_by_bgp_cuts_it_off_as_foretold(labkit_lab: Boot, tmp_path: Path) -> None:
    changes = {
        "name: public-overlay": "name: cut-overlay",
        "peers: [csr1]": "peers: [csr1, fw]",
        "csr1: {": "csr1: {timers: {keepalive: 1, hold: 3}, ",
        "nvas:\n": "nvas:\n  fw: {subnet: hub1/work, asn: 65003, advertises: 0.0.0.0/0}\n",
    }
    file = variant(lab_file("public-overlay"), tmp_path, changes)
    file.write_text(file.read_text().partition("\nproofs:")[0])
    cut = labkit_lab(file)
    (foretold,) = cut_sessions(cut.lab, cut.lab.azure)
    assert (str(foretold.session), foretold.session.hold, foretold.returns) == ("csr1 - csr2", 3, False)
    far = cut.lab.overlays[0].addresses[1].ip
    eventually(lambda: LiveState(cut.lab, cut.client).bgp("csr1").is_established(far), lambda found: not found)
    assert problems(cut, SOON) == []
