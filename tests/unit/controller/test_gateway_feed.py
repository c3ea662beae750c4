"""The controller and a gateway's instances, which the test plays."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from labkit.azure.changes.route_servers import SetRouteServerSettings
from labkit.azure.model import HubRoutingPreference
from labkit.lab.load import load
from labkit.resources import topologies

from . import world as worlds
from .world import ControllerRig, Feed, established, route, table_when

LAB = load(topologies() / "expressroute" / "lab.yml")
ONPREM = "10.2.0.0/16"
EDGES = ("10.1.255.6", "10.1.255.7")
NEXT_HOPS = ("100.65.0.1", "100.65.0.2")
"""What NICs have in place of the edges [edge-addresses]."""
SERVERS = ("10.1.0.4", "10.1.0.5")


def run(test: Callable[[ControllerRig], Awaitable[None]], folder: Path) -> None:
    worlds.run(test, folder, LAB)


def via(edge: str) -> dict[str, Any]:
    return route(edge, edge, [12076, 65020], ONPREM)


async def gateways(world: ControllerRig, *, sessions: bool = False) -> list[Feed]:
    feeds = []
    for index, edge in enumerate(EDGES):
        node = f"ergw-{index}"
        if node not in world.locks:
            world.boot(node)
        feed = await world.feed(node, "gateway")
        config = await feed.receive()
        assert config == {
            "seq": 1,
            "type": "config",
            "asn": 65515,
            "route_servers": list(SERVERS),
            "sessions": sessions,
            "no_sessions": "branch-to-branch is off",
            "gateways": [],
            "with_gateways": False,
            "vpn": False,
            "subnet_gateway": "10.1.255.1",
            "originated": ["10.1.0.0/16"],
            "adjacent": ["10.1.0.0/16"],
            "links": [{"interface": "eth1", "far": edge, "bgp": True, "connected": True}],
            "built_routes": [],
            "static_routes": [],
        }
        await feed.report("snapshot", via(edge), sessions=established(edge))
        feeds.append(feed)
    return feeds


def has(edge: str) -> Callable[[dict[str, str]], bool]:
    return lambda table: table.get(ONPREM, "").endswith(edge)


async def events(world: ControllerRig) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (await world.call("GET", "events"))[1].splitlines()]


def test_what_a_gateway_has_is_programmed_and_shown(tmp_path: Path) -> None:
    async def test(world: ControllerRig) -> None:
        async with world.controller():
            await gateways(world)
            agent = await world.feed("vm1", "agent")
            await table_when(agent, has(NEXT_HOPS[0]))
            rows = (await world.call("GET", "gateways/ergw/learned-routes"))[1]["value"]
            assert [(r["localAddress"], r["network"], r["asPath"], r["origin"], r["weight"]) for r in rows] == [
                ("10.1.255.4", "10.1.0.0/16", "", "Network", 32768),
                ("10.1.255.4", ONPREM, "12076-65020", "EBgp", 32769),
            ], "of one instance, as Azure lists those of an ExpressRoute gateway"
            state = (await world.call("GET", "state"))[1]["gateways"]["ergw"]["value"]
            assert [r["localAddress"] for r in state] == ["10.1.255.4"] * 2 + ["10.1.255.5"] * 2
            status = (await world.call("GET", "status"))[1]
            assert status["nodes"]["ergw-0"]["role"] == "gateway"
            assert status["gateways"] == [
                {
                    "gateway": "ergw",
                    "instance": index,
                    "neighbour": "circuit1",
                    "state": "Established",
                    "since": 1.0,
                    "reason": "",
                }
                for index in (0, 1)
            ]

    run(test, tmp_path)


def test_a_session_that_goes_takes_its_routes_and_is_logged_with_a_reason(tmp_path: Path) -> None:
    async def test(world: ControllerRig) -> None:
        async with world.controller():
            first, second = await gateways(world)
            agent = await world.feed("vm1", "agent")
            await table_when(agent, has(NEXT_HOPS[0]))
            down = {"state": "Idle", "since": 2.0, "reason": "hold timer expired"}
            await first.report("delta", sessions={EDGES[0]: down})
            await table_when(agent, has(NEXT_HOPS[1]))
            await second.report("delta", withdrawn=[{"peer": EDGES[1], "prefixes": [ONPREM]}])
            await table_when(agent, lambda table: ONPREM not in table)
            said = await events(world)
            assert ("ergw-0", "session circuit1 down: hold timer expired") in [(e["node"], e["text"]) for e in said]
            assert said[-1]["cause"] == f"ergw-1 no longer has {ONPREM}"

    run(test, tmp_path)


def test_a_dead_instance_takes_its_routes_and_a_lost_feed_does_not(tmp_path: Path) -> None:
    async def test(world: ControllerRig) -> None:
        async with world.controller():
            first, _ = await gateways(world)
            agent = await world.feed("vm1", "agent")
            await table_when(agent, has(NEXT_HOPS[0]))
            await first.socket.close()
            assert await agent.silent()
            world.kill("ergw-0")
            await table_when(agent, has(NEXT_HOPS[1]))
            status = (await world.call("GET", "status"))[1]
            assert [row["state"] for row in status["gateways"]] == ["instance down", "Established"]
            rows = (await world.call("GET", "gateways/ergw/learned-routes"))[1]["value"]
            assert {row["localAddress"] for row in rows} == {"10.1.255.5"}

    run(test, tmp_path)


def test_a_service_that_comes_back_reports_the_same_and_nothing_happens(tmp_path: Path) -> None:
    async def test(world: ControllerRig) -> None:
        async with world.controller():
            first, _ = await gateways(world)
            agent = await world.feed("vm1", "agent")
            await table_when(agent, has(NEXT_HOPS[0]))
            await first.socket.close()
            before = [e["text"] for e in await events(world) if e["kind"] == "session"]
            again = await world.feed("ergw-0", "gateway")
            assert (await again.receive())["type"] == "config"
            await again.report("snapshot", via(EDGES[0]), sessions=established(EDGES[0]))
            assert await agent.silent()
            assert [e["text"] for e in await events(world) if e["kind"] == "session"] == before

    run(test, tmp_path)


def test_a_restarted_controller_waits_for_gateways_too(tmp_path: Path) -> None:
    async def test(world: ControllerRig) -> None:
        async with world.controller():
            await gateways(world)
        async with world.controller():
            agent = await world.feed("vm1", "agent")
            assert await agent.silent()
            await gateways(world)
            assert ONPREM in (await agent.receive())["tables"]["eth0"]["routes"]

    run(test, tmp_path)


def test_branch_to_branch_is_sent_to_both_sides_and_kept(tmp_path: Path) -> None:
    async def test(world: ControllerRig) -> None:
        async with world.controller():
            first, _ = await gateways(world)
            server = await world.feed("rs1-0", "routeserver")
            assert [p["name"] for p in (await server.receive())["server"]["peers"]] == ["sdwan-nva"]
            status, done = await world.change(SetRouteServerSettings("rs1", allow_branch_to_branch_traffic=True))
            assert (status, done) == (200, [{"subject": "rs1", "what": "branch-to-branch off → on"}])
            assert (await first.receive())["sessions"] is True
            config = await server.receive()
            assert [p["name"] for p in config["server"]["peers"]] == ["sdwan-nva", "ergw-0", "ergw-1"]
            status = (await world.call("GET", "status"))[1]
            assert [s["neighbour"] for s in status["gateways"]] == ["circuit1", "rs1-0", "rs1-1"] * 2
            preference = SetRouteServerSettings("rs1", hub_routing_preference=HubRoutingPreference.AS_PATH)
            assert (await world.change(preference))[0] == 200
            texts = [e["text"] for e in await events(world) if e["kind"] == "route-server"]
            assert texts == [
                "branch-to-branch off → on, by the operator",
                "hub routing preference ExpressRoute → ASPath, by the operator",
            ]
        async with world.controller():
            kept = (await world.call("GET", "route-servers/rs1"))[1]
            assert (kept["allowBranchToBranchTraffic"], kept["hubRoutingPreference"]) == (True, "ASPath")
            await gateways(world, sessions=True)

    run(test, tmp_path)


PEER = {"address": EDGES[0], "asn": 12076, "state": "Established", "seconds": 15.0, "received": 4, "sent": 5}


def test_instances_are_asked_for_their_peers_and_what_they_advertise(tmp_path: Path) -> None:
    async def answered(world: ControllerRig, path: str, *answers: tuple[Feed, list[dict[str, Any]]]) -> Any:
        kind = "neighbours" if path == "bgp-peers" else "paths"
        asked = asyncio.create_task(world.call("GET", f"gateways/ergw/{path}"))
        questions = []
        for feed, answer in answers:
            question = await feed.receive()
            await feed.socket.send_json({"type": kind, "query": question["seq"], kind: answer})
            questions.append((question["type"], question.get("peer")))
        status, document = await asked
        assert status == 200
        return questions, document["value"]

    async def test(world: ControllerRig) -> None:
        async with world.controller():
            first, second = await gateways(world)
            line = {**PEER, "routes": 1}
            inside = {**line, "address": SERVERS[0], "asn": 65515, "state": "Idle (Admin)"}
            questions, rows = await answered(
                world, "bgp-peers", (first, [inside, line]), (second, [{**line, "address": EDGES[1]}])
            )
            assert questions == [("neighbours", None)] * 2
            assert [(r["localAddress"], r["neighbor"], r["state"], r["connectedDuration"]) for r in rows] == [
                ("10.1.255.4", EDGES[0], "Connected", "00:00:15")
            ]
            _, rows = await answered(world, "bgp-peers", (first, []), (second, [{**line, "address": EDGES[1]}]))
            assert [r["localAddress"] for r in rows] == ["10.1.255.5"], "the other one, while the first does not answer"
            own: dict[str, Any] = {"prefix": "10.1.0.0/16", "as_path": [], "next_hop": None, "origin": "igp"}
            questions, rows = await answered(world, "advertised-routes/circuit1", (first, [own]), (second, [own]))
            assert questions == [("adj-rib-out", EDGES[0]), ("adj-rib-out", EDGES[1])]
            assert rows == [
                {
                    "asPath": "65515",
                    "localAddress": "10.1.255.4",
                    "network": "10.1.0.0/16",
                    "nextHop": "10.1.255.4",
                    "origin": "Igp",
                    "sourcePeer": None,
                    "weight": 0,
                }
            ]
            questions, _ = await answered(world, f"advertised-routes/{EDGES[1]}", (second, [own]))
            assert questions == [("adj-rib-out", EDGES[1])]
            await first.socket.close()
            world.kill("ergw-0")
            _, rows = await answered(world, "advertised-routes/circuit1", (second, [own]))
            assert [row["localAddress"] for row in rows] == ["10.1.255.5"], "one that is off breaks nothing"

    run(test, tmp_path)


@pytest.mark.parametrize(
    ("path", "error", "remedy"),
    [
        ("nope/bgp-peers", "there is no gateway nope.", "These are: ergw."),
        ("ergw/advertised-routes/vm1", "gateway ergw has no neighbour vm1.", "These are: circuit1."),
        (
            "ergw/advertised-routes/rs1-0",
            "gateway ergw has no session with rs1-0: branch-to-branch is off.",
            "To switch it on: labkit route-server update rs1 --branch-to-branch on",
        ),
    ],
)
def test_what_there_is_not(tmp_path: Path, path: str, error: str, remedy: str) -> None:
    async def test(world: ControllerRig) -> None:
        async with world.controller():
            assert await world.call("GET", f"gateways/{path}") == (422, {"error": error, "remedy": remedy})

    run(test, tmp_path)
