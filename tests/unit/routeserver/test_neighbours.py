"""ExaBGP's file with other neighbours, and one that ExaBGP would not take."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from labkit.azure.model import BgpPeer
from labkit.lab.build import plan
from labkit.lab.load import load
from labkit.render.render import render
from labkit.resources import topologies
from labkit.routeserver import wire
from labkit.routeserver.neighbours import FileRefused, Neighbours, neighbours_in, with_neighbours

ONE, TWO = BgpPeer("nva1", 65001, IPv4Address("10.1.1.4")), BgpPeer("nva2", 65002, IPv4Address("10.1.1.5"))
KNOWN = {"10.1.1.4": 65001}


@pytest.fixture
def rendered(tmp_path: Path) -> Path:
    lab = topologies() / "overview" / "lab.yml"
    render(plan(load(lab)), tmp_path, image="image", lab_file=lab.read_bytes())
    return tmp_path / "nodes" / "rs1-0" / "exabgp.conf"


def test_what_is_written_here_is_what_the_template_writes(rendered: Path) -> None:
    text = rendered.read_text()
    peers = load(topologies() / "overview" / "lab.yml").azure.route_server["rs1"].peers
    assert len(peers) == 2
    assert with_neighbours(text, peers) == text
    assert with_neighbours(with_neighbours(text, ()), peers) == text
    assert "\nneighbor " not in with_neighbours(text, ())


@pytest.fixture
def file(rendered: Path) -> Path:
    rendered.write_text(with_neighbours(rendered.read_text(), [ONE]))
    return rendered


def test_a_reload_is_asked_for_until_it_is_seen(file: Path) -> None:
    neighbours = Neighbours(file, KNOWN)
    assert neighbours.settled
    neighbours.want([ONE, TWO])
    assert not neighbours.settled
    assert neighbours.reload() == wire.RELOAD
    assert neighbours_in(file.read_text()) == {**KNOWN, "10.1.1.5": 65002}
    for lost in (KNOWN, {**KNOWN, "10.1.1.5": 65009}):
        neighbours.shown(lost)
        assert not neighbours.settled
        assert neighbours.reload() == wire.RELOAD
    neighbours.shown({**KNOWN, "10.1.1.5": 65002})
    assert neighbours.settled


def test_the_file_changes_again_only_once_exabgp_has_read_it(file: Path) -> None:
    neighbours = Neighbours(file, KNOWN)
    neighbours.want([])
    neighbours.reload()
    neighbours.want([ONE])
    assert not neighbours.settled, "ExaBGP has it, but is about to forget it"
    neighbours.reload()
    assert neighbours_in(file.read_text()) == {}
    neighbours.shown({})
    neighbours.reload()
    assert neighbours_in(file.read_text()) == KNOWN


def test_one_that_comes_back_finishes_what_another_began(file: Path) -> None:
    neighbours = Neighbours(file, {})
    assert not neighbours.settled
    neighbours.want([TWO])
    neighbours.reload()
    assert neighbours_in(file.read_text()) == KNOWN


def test_a_file_that_exabgp_would_not_take_stays_away_from_it(tmp_path: Path) -> None:
    file = tmp_path / "exabgp.conf"
    file.write_text("template { nonsense }\n")
    neighbours = Neighbours(file, {})
    neighbours.want([ONE])
    with pytest.raises(FileRefused):
        neighbours.reload()
    assert file.read_text() == "template { nonsense }\n"
