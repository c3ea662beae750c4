"""`GET /v1/model`, and what `labkit.operate.look.snapshot` reads out of it."""

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from labkit.azure.changes.route_servers import SetRouteServerSettings
from labkit.azure.model import InstanceId, PeerKind
from labkit.feed.codec import from_json
from labkit.feed.state import PlatformModel
from labkit.lab.load import load
from labkit.operate.look.snapshot import Snapshot
from labkit.predict.azure_speakers import CircuitLine
from labkit.resources import topologies

from . import world as worlds
from .world import ATTRIBUTES, ControllerRig, Feed, established, route

LAB = load(topologies() / "expressroute" / "lab.yml")
BRANCH, OWN, ONPREM = "10.250.0.0/16", "10.1.10.0/24", "10.2.0.0/16"
EDGE = "10.1.255.6"
SAID = {"next_hop": "10.1.1.4", "as_path": [65001, 65010]}


def run(test: Callable[[ControllerRig], Awaitable[None]], folder: Path) -> None:
    worlds.run(test, folder, LAB)


async def answering(feed: Feed) -> None:
    """Answer every question: the appliance has advertised more than the instance keeps, and receives nothing."""
    while True:
        message = await feed.receive()
        if message["type"] in ("adj-rib-in", "adj-rib-out"):
            groups = [{"attributes": {**ATTRIBUTES, **SAID}, "prefixes": [BRANCH, OWN]}]
            routes = groups if (message["type"], message["peer"]) == ("adj-rib-in", "sdwan-nva") else []
            await feed.socket.send_json({"type": "routes", "query": message["seq"], "routes": routes})


async def ask(world: ControllerRig, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    while True:
        status, said = await world.call("GET", "model")
        assert status == 200
        if wanted(said):
            found: dict[str, Any] = said
            return found


def test_what_speakers_have_received(tmp_path: Path) -> None:
    async def test(world: ControllerRig) -> None:
        async with world.controller():
            nodes = ("rs1-0", "ergw-0")
            for node in nodes:
                world.boot(node)
            instance = await world.feed("rs1-0", "routeserver")
            await instance.receive()
            await instance.report(
                "snapshot",
                route("sdwan-nva", "10.1.1.4", [65001, 65010], BRANCH),
                sessions=established("sdwan-nva"),
            )
            gateway = await world.feed("ergw-0", "gateway")
            await gateway.receive()
            await gateway.report("snapshot", route(EDGE, EDGE, [12076, 65020], ONPREM), sessions=established(EDGE))
            answers = asyncio.create_task(answering(instance))
            said = await ask(
                world,
                lambda said: said["route_servers"]["rs1-0"] is not None and said["gateways"]["ergw-0"] is not None,
            )
            running = Snapshot(LAB, from_json(PlatformModel, said), {})
            assert running.azure == LAB.azure
            assert said["silent"] == []
            assert list(running.servers) == [InstanceId("rs1", 0)], "the other instance is down"
            assert list(running.gateways) == [InstanceId("ergw", 0)]
            received = running.adj_ribs_in
            (paths,) = {tuple(map(str, table)) for table in received.servers.values()}
            assert paths == (BRANCH, OWN), "what the rules drop is among it"
            assert all(
                path.peer.kind is PeerKind.NVA
                for paths in received.servers[InstanceId("rs1", 0)].values()
                for path in paths
            )
            assert set(running.at_server(InstanceId("rs1", 0), "learned")) == {IPv4Network(BRANCH)}
            assert received.edges == {CircuitLine(InstanceId("ergw", 0), "circuit1"): IPv4Address(EDGE)}
            assert received.gateways == {InstanceId("ergw", 0): {}}, "a circuit is none of its sites"
            kept = running.at_gateway(InstanceId("ergw", 0))[IPv4Address(EDGE)]
            assert [(str(p), a.as_path) for p, a in kept.items()] == [(ONPREM, (12076, 65020))]

            answers.cancel()
            await instance.socket.close()
            said = await ask(world, lambda said: bool(said["silent"]))
            assert said["silent"] == ["rs1-0"]

    run(test, tmp_path)


def test_a_changed_model(tmp_path: Path) -> None:
    async def test(world: ControllerRig) -> None:
        async with world.controller():
            await world.change(SetRouteServerSettings("rs1", allow_branch_to_branch_traffic=True))
            running = Snapshot(LAB, from_json(PlatformModel, (await world.call("GET", "model"))[1]), {})
            assert running.azure.route_server["rs1"].branch_to_branch
            assert running.adj_ribs_in.servers == {}
            assert [peer.name for peer in running.peers("rs1")] == ["sdwan-nva", "ergw-0", "ergw-1"]

    run(test, tmp_path)
