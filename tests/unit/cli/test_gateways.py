"""The verbs about gateways and route servers, with an API that the test plays."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from labkit.azure.changes.base import Change
from labkit.azure.changes.route_servers import DeleteRouteServer, PutPeer, SetRouteServerSettings
from labkit.azure.changes.route_tables import PutRouteTable
from labkit.azure.changes.virtual_networks import SetAddressSpace
from labkit.azure.model import HubRoutingPreference, RouteServer
from labkit.cli import bring_up, changing, gateway, route_server, status
from labkit.cli.app import run
from labkit.controller.objects import route_server_json
from labkit.feed.codec import from_json
from labkit.lab.load import load, load_text
from labkit.lab.model import Lab
from labkit.lab.running import carry_out
from labkit.operate import changes
from labkit.operate.labs import lifecycle
from labkit.operate.records.record import Record
from labkit.resources import topologies

LAB = load(topologies() / "expressroute" / "lab.yml")
ROUTE = {
    "asPath": "12076-65020",
    "localAddress": "10.1.255.4",
    "network": "10.2.0.0/16",
    "nextHop": "100.65.0.1",
    "origin": "EBgp",
    "sourcePeer": "100.65.0.1",
    "weight": 32769,
}
PEER = {
    "asn": 12076,
    "connectedDuration": None,
    "localAddress": "10.1.255.4",
    "messagesReceived": 4,
    "messagesSent": 5,
    "neighbor": "100.65.0.1",
    "routesReceived": 0,
    "state": "Connecting",
}


M = TypeVar("M")


class Api:
    """The controller's API: what it answers by path, the lab's route servers, and the changes that it was sent."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, ...], Any] = {}
        self.servers: tuple[str, ...] = ("rs1",)
        self.sent: list[Change] = []

    def get(self, *path: str) -> Any:
        return self.answers[path]

    def fetch(self, kind: type[M], *path: str) -> M:
        return from_json(kind, self.get(*path))

    def changes(self) -> tuple[Change, ...]:
        return ()

    def change(self, *changes: Change) -> list[dict[str, str]]:
        self.sent += changes
        done = carry_out(self.lab(), self.lab().azure, changes).done
        return [{"subject": each.change.subject, "what": each.what} for each in done]

    def lab(self) -> Lab:
        server = LAB.azure.route_server["rs1"]
        servers = tuple(replace(server, name=name) for name in self.servers)
        return replace(LAB, azure=replace(LAB.azure, route_servers=servers))


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    api = Api()
    record = SimpleNamespace(title="lab", runtime="sandbox", created=0.0, lab="lab", variant="")
    lab_status = SimpleNamespace(state="running", nodes=[])
    for module in (gateway, route_server, status):
        monkeypatch.setattr(module, "running", lambda _name: (record, lab_status))
        monkeypatch.setattr(module, "LabClient", lambda _record: api)
    monkeypatch.setattr(changing, "running", lambda _name: (record, lab_status))
    monkeypatch.setattr(changes, "LabClient", lambda _record: api)
    monkeypatch.setattr(changes, "lab_of", lambda _record: api.lab())
    return api


def labkit(*arguments: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(arguments)
    return code, out.getvalue(), err.getvalue()


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if not line.startswith("-")]


def test_routes_have_azures_columns(api: Api) -> None:
    api.answers["gateways", "ergw", "learned-routes"] = {"value": [ROUTE]}
    api.answers["gateways", "ergw", "advertised-routes", "circuit1"] = {"value": [ROUTE | {"sourcePeer": None}]}
    assert rows(labkit("gateway", "learned-routes", "ergw")[1]) == [
        ["LocalAddress", "Network", "NextHop", "SourcePeer", "Origin", "AsPath", "Weight"],
        ["10.1.255.4", "10.2.0.0/16", "100.65.0.1", "100.65.0.1", "EBgp", "12076-65020", "32769"],
    ]
    code, out, _ = labkit("gateway", "advertised-routes", "ergw", "circuit1")
    assert code == 0
    assert rows(out)[0] == ["LocalAddress", "Network", "NextHop", "Origin", "AsPath", "Weight"]
    document = json.loads(labkit("gateway", "advertised-routes", "ergw", "circuit1", "-o", "json")[1])
    assert document["value"][0]["sourcePeer"] is None


def test_peers_have_azures_columns(api: Api) -> None:
    api.answers["gateways", "ergw", "bgp-peers"] = {"value": [PEER]}
    head, row = rows(labkit("gateway", "bgp-peers", "ergw")[1])
    assert head == [
        "LocalAddress", "Neighbor", "ASN", "State", "ConnectedDuration", "RoutesReceived", "MessagesSent",
        "MessagesReceived",
    ]  # fmt: skip
    assert row == ["10.1.255.4", "100.65.0.1", "12076", "Connecting", "0", "5", "4"]
    assert json.loads(labkit("gateway", "bgp-peers", "ergw", "--format", "json")[1]) == {"value": [PEER]}


def test_settings_are_shown(api: Api) -> None:
    server = RouteServer("rs1", "hub", (IPv4Address("10.1.0.4"), IPv4Address("10.1.0.5")))
    settings = route_server_json(server)
    api.answers = {("route-servers",): [settings], ("route-servers", "rs1"): settings}
    for arguments in (("show",), ("show", "rs1"), ("list",)):
        last = labkit("route-server", *arguments)[1].splitlines()[-1]
        assert last.split() == ["rs1", "off", "ExpressRoute", "Succeeded"]
    assert json.loads(labkit("route-server", "list", "-o", "json")[1]) == [settings]
    assert json.loads(labkit("route-server", "show", "rs1", "-o", "json")[1]) == settings
    assert json.loads(labkit("route-server", "show", "-o", "json")[1]) == [settings]


@pytest.mark.parametrize(
    ("options", "change", "printed"),
    [
        (("--branch-to-branch", "on"), SetRouteServerSettings("rs1", True), "branch-to-branch off → on"),
        (("--branch-to-branch", "off"), SetRouteServerSettings("rs1", False), "no change"),
        (
            ("rs1", "--hub-routing-preference", "aspath", "--branch-to-branch", "on"),
            SetRouteServerSettings("rs1", True, HubRoutingPreference.AS_PATH),
            "branch-to-branch off → on, hub routing preference ExpressRoute → ASPath",
        ),
    ],
)
def test_settings_are_changed(api: Api, options: tuple[str, ...], change: Change, printed: str) -> None:
    assert labkit("route-server", "update", *options) == (0, "", f" rs1: {printed}\n")
    assert api.sent == [change]


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        ("route-server peering create rs1 sdwan-nva", PutPeer("rs1", "sdwan-nva", 65001, IPv4Address("10.1.1.4"))),
        (
            "route-server peering create rs1 fw --peer-asn 65009 --peer-ip 10.1.1.9",
            PutPeer("rs1", "fw", 65009, IPv4Address("10.1.1.9")),
        ),
        ("route-server delete rs1", DeleteRouteServer("rs1")),
        ("route-table create t", PutRouteTable("t")),
        ("route-table create t --bgp-propagation off", PutRouteTable("t", True)),
        (
            "vnet update hub --address-prefixes 10.1.0.0/16 10.9.0.0/16",
            SetAddressSpace("hub", (IPv4Network("10.1.0.0/16"), IPv4Network("10.9.0.0/16"))),
        ),
    ],
)
def test_a_command_line_is_a_change(api: Api, words: str, sent: Change) -> None:
    assert labkit(*words.split())[0] == 0
    assert api.sent == [sent]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ((), "nothing to change"),
        (("rs1",), "nothing to change"),
        (("--branch-to-branch", "maybe"), "maybe"),
        (("--hub-routing-preference", "best"), "best"),
        (("--hub-routing-preference",), "requires an argument"),
    ],
)
def test_wrong_settings_change_nothing(api: Api, options: tuple[str, ...], text: str) -> None:
    code, out, err = labkit("route-server", "update", *options)
    assert (code, out) == (2, "")
    assert text in err
    assert api.sent == []


@pytest.mark.parametrize(
    ("names", "text"), [((), "this lab has no route server."), (("rs1", "rs2"), "2 route servers: rs1, rs2.")]
)
def test_which_route_server_is_meant(api: Api, names: tuple[str, ...], text: str) -> None:
    api.servers = names
    code, _, err = labkit("route-server", "update", "--branch-to-branch", "on")
    assert code == 2
    assert text in err
    assert api.sent == []


def test_status_shows_gateways_and_programs_none_of_them(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    node = {"connected": True, "sent_seq": 2, "applied_seq": 0, "applied_at": 0.0, "error": ""}
    api.answers["status",] = {
        "lab": "lab",
        "nodes": {"ergw-0": node | {"role": "gateway"}, "vm1": node | {"role": "agent"}},
        "sessions": [],
        "gateways": [
            {"gateway": "ergw", "instance": 0, "neighbour": "circuit1", "state": "Idle", "since": None, "reason": "x"}
        ],
        "backends": [],
        "programmed": False,
    }
    nodes = [SimpleNamespace(name=name, state="running", health="healthy", off=False) for name in ("ergw-0", "vm1")]
    record = SimpleNamespace(lab="lab", title="lab", runtime="sandbox", created=0.0)
    monkeypatch.setattr(status, "running", lambda _name: (record, SimpleNamespace(state="running", nodes=nodes)))
    code, out, _ = labkit("status")
    assert code == 0
    lines = rows(out)
    assert ["ergw-0", "running", "healthy", "-"] in lines
    assert ["vm1", "running", "healthy", "under", "way"] in lines
    assert lines[-2:] == [
        ["Gateway", "Instance", "Neighbour", "State", "For", "Reason"],
        ["ergw", "0", "circuit1", "Idle", "-", "x"],
    ]


def hints(lab: Lab) -> str:
    record = Record(lab.name, "sandbox", "/nowhere/lab.yml", "image", 0.0)
    return bring_up.next_steps(lifecycle.Up(lab, record, (), fresh=True))


def test_to_try_are_appliances_with_a_session() -> None:
    text = """
    name: x
    virtual_networks: {vn: {address_space: 10.1.0.0/16, subnets: {RouteServerSubnet: 10.1.0.0/26, a: 10.1.1.0/24}}}
    route_servers: {rs1: {virtual_network: vn, peers: [PEERS]}}
    nvas: {fw: {subnet: vn/a, asn: 65001}, idle: {subnet: vn/a, asn: 65002}}
    """
    assert "labkit stop fw " in hints(load_text(text.replace("PEERS", "fw"), "x.yml"))
    assert "labkit shell fw --bgp" in hints(load_text(text.replace("PEERS", "fw"), "x.yml"))
    # Without a peering, and with one that expects another ASN: its session stays down.
    for peers in ("", "{fw: {asn: 65009}}"):
        assert "labkit st" not in hints(load_text(text.replace("PEERS", peers), "x.yml"))


def test_what_to_try_and_what_there_is() -> None:
    assert "labkit gateway learned-routes ergw" in hints(LAB)
    assert "labkit route-server update rs1 --branch-to-branch on " in hints(LAB)
    assert "labkit gateway" not in hints(load(topologies() / "overview" / "lab.yml"))
    assert "1 gateway, 1 circuit, 1 NVA" in lifecycle.contents(LAB)
