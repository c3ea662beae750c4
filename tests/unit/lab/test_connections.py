"""Connections of gateways that are deleted and created while a lab runs, whose lines and tunnels stay."""

import re
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from labkit.azure.changes.base import Change
from labkit.azure.changes.difference import difference
from labkit.azure.changes.gateways import CreateConnection, DeleteConnection
from labkit.azure.model import Azure
from labkit.errors import InvalidInput
from labkit.lab.connections import unconnected
from labkit.lab.load import load
from labkit.lab.plan.speakers import static_prefixes
from labkit.lab.running import carry_out
from labkit.predict.converge import CustomerRouters, everything_up
from labkit.predict.sessions import expected_sessions

LABS = Path(__file__).parents[2] / "e2e" / "labs"
LAB = load(LABS / "connections.lab.yml")
EDGES = load(LABS / "edges.lab.yml")


def after(*changes: Change, azure: Azure = LAB.azure) -> Azure:
    return carry_out(LAB, azure, changes).azure


def test_a_device_s_tunnels_are_unconnected_and_nothing_else() -> None:
    azure = after(DeleteConnection("vpngw-dev1"))
    assert unconnected(LAB, azure) == {frozenset((f"vpngw-{i}", "dev1")) for i in (0, 1)}
    assert unconnected(LAB, LAB.azure) == frozenset()
    gone = {str(s) for s in expected_sessions(LAB, LAB.azure)} - {str(s) for s in expected_sessions(LAB, azure)}
    assert gone == {"vpngw-0 - dev1", "vpngw-1 - dev1"}


def test_between_two_gateways_either_connection_takes_the_tunnels_away() -> None:
    pairs = {frozenset((f"vpngw-{i}", f"fargw-{j}")) for i in (0, 1) for j in (0, 1)}
    for name in ("vpngw-fargw", "fargw-vpngw"):
        assert unconnected(LAB, after(DeleteConnection(name))) == pairs
    assert not everything_up(LAB, after(DeleteConnection("fargw-vpngw"))).tunnels


def test_a_circuit_s_lines_are_unconnected() -> None:
    azure = carry_out(EDGES, EDGES.azure, [DeleteConnection("ergw-circuit1")]).azure
    assert unconnected(EDGES, azure) == {frozenset((f"ergw-{i}", "circuit1")) for i in (0, 1)}
    assert not everything_up(EDGES, azure).edges
    customers = CustomerRouters(EDGES, azure)
    up = customers.established(azure, everything_up(EDGES, azure), customers.sessions)
    assert ("dc", "circuit1") in {(s.router, s.neighbour.name) for s in up}, "the customer's own session goes on"


def test_static_routes_into_a_tunnel_go_with_its_connection() -> None:
    azure, shop = after(DeleteConnection("vpngw-shop")), IPv4Network("10.157.0.0/16")
    assert shop in static_prefixes(LAB, "vpngw-0")
    assert shop not in static_prefixes(LAB, "vpngw-0", unconnected(LAB, azure))


def test_what_was_deleted_is_created_as_it_was() -> None:
    """With the instances that have tunnels."""
    deleted = after(DeleteConnection("vpngw-depot"))
    assert difference(LAB.azure, deleted) == (DeleteConnection("vpngw-depot"),)
    created = difference(deleted, LAB.azure)
    assert created == (CreateConnection("vpngw-depot", "vpngw", "vpngw-depot"),)
    again = after(*created, azure=deleted)
    assert set(again.connections) == set(LAB.azure.connections)
    assert replace(again, connections=LAB.azure.connections) == LAB.azure


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (DeleteConnection("vpngw-nobody"), "there is no connection vpngw-nobody"),
        (CreateConnection("vpngw-dev1", "vpngw", "vpngw-dev1"), "connection vpngw-dev1 already exists"),
        (CreateConnection("a", "nobody", "vpngw-dev1"), "there is no gateway nobody"),
        (CreateConnection("a", "vpngw", "nobody"), "there is no remote end nobody"),
        (CreateConnection("a", "fargw", "vpngw-dev1"), "no line and no tunnel for a connection of fargw to vpngw-dev1"),
    ],
)
def test_what_can_t_be_is_refused(change: Change, text: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(text)):
        after(change)
