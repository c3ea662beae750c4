"""The controller over its real sockets; the test plays agents, fabrics and route server instances."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from labkit.azure.changes.route_tables import (
    AssociateRouteTable,
    DeleteRoute,
    DeleteRouteTable,
    DissociateRouteTable,
    PutRoute,
    PutRouteTable,
)
from labkit.azure.model import NextHopType
from labkit.feed.bgp import ROUTE_SERVER, RibSnapshot
from labkit.feed.channel import Channel
from labkit.feed.connection import FeedConnection
from labkit.feed.tables import AGENT
from labkit.lab.load import load
from labkit.resources import topologies

from . import world as worlds
from .world import ControllerRig, Feed, established, route, table_when

OVERVIEW = load(topologies() / "overview" / "lab.yml")
BRANCH, DEFAULT = "10.250.0.0/16", "0.0.0.0/0"
VIA_SDWAN = route("sdwan-nva", "10.1.1.4", [65001, 65010], BRANCH)
VIA_SECURITY = route("security-nva", "10.1.2.4", [65002], DEFAULT)
UP = established("sdwan-nva", "security-nva")


def run(test: Callable[[ControllerRig], Awaitable[None]], folder: Path) -> None:
    worlds.run(test, folder, OVERVIEW)


async def instances(world: ControllerRig) -> tuple[Feed, Feed]:
    feeds = []
    for index in (0, 1):
        if f"rs1-{index}" not in world.locks:
            world.boot(f"rs1-{index}")
        feed = await world.feed(f"rs1-{index}", "routeserver")
        config = await feed.receive()
        assert config["type"] == "config"
        assert config["instance"] == index
        assert config["originated"] == {"own": ["10.1.0.0/16"], "spokes": []}
        await feed.report("snapshot", VIA_SDWAN, VIA_SECURITY, sessions=UP)
        feeds.append(feed)
    return feeds[0], feeds[1]


def has_both(table: dict[str, str]) -> bool:
    return table.get(BRANCH, "").endswith("10.1.1.4") and table[DEFAULT].endswith("10.1.2.4")


def test_routes_reach_agents_and_fabric(tmp_path: Path) -> None:
    async def test(world: ControllerRig) -> None:
        async with world.controller():
            await instances(world)
            agent = await world.feed("vm1", "agent")
            table = await table_when(agent, has_both)
            assert table["10.1.0.0/16"] == "VnetLocal"
            fabric = await world.feed("vnet1", "fabric")
            snapshot = await fabric.receive()
            assert snapshot["mac"] == "12:34:56:78:9a:bc"
            assert snapshot["ports"]["security-nva"]["table"] != snapshot["ports"]["vm1"]["table"]
            assert snapshot["ports"]["rs1-0"]["table"] == "system"
            status, effective = await world.call("GET", "effective-routes/vm1")
            assert status == 200
            assert {
                "source": "VirtualNetworkGateway",
                "state": "Active",
                "addressPrefix": [BRANCH],
                "nextHopType": "VirtualNetworkGateway",
                "nextHopIpAddress": ["10.1.1.4"],
            } in effective["value"]

    run(test, tmp_path)


def test_a_withdrawal_travels_as_a_delta_with_its_cause(tmp_path: Path) -> None:
    async def test(world: ControllerRig) -> None:
        async with world.controller():
            feeds = await instances(world)
            agent = await world.feed("vm1", "agent")
            await table_when(agent, has_both)
            for feed in feeds:
                await feed.report("delta", withdrawn=[{"peer": "security-nva", "prefixes": [DEFAULT]}])
            table = await table_when(agent, lambda t: t[DEFAULT] == "Internet")
            assert table[BRANCH].endswith("10.1.1.4")
            _, events = await world.call("GET", "events")
            said = [json.loads(line) for line in events.splitlines()]
            causes = [e["cause"] for e in said if e["kind"] == "route" and DEFAULT in e["text"] and "vm1" in e["node"]]
            assert "security-nva withdrew 0.0.0.0/0" in causes[-1]

    run(test, tmp_path)


def test_a_lost_session_takes_its_routes(tmp_path: Path) -> None:
    async def test(world: ControllerRig) -> None:
        async with world.controller():
            feeds = await instances(world)
            agent = await world.feed("vm1", "agent")
            await table_when(agent, has_both)
            for feed in feeds:
                down = {"sdwan-nva": {"state": "Idle", "since": 2.0, "reason": "hold timer expired"}}
                await feed.report("delta", sessions=down)
            await table_when(agent, lambda t: BRANCH not in t)
            status = (await world.call("GET", "status"))[1]
            reasons = {s["reason"] for s in status["sessions"] if s["peer"] == "sdwan-nva"}
            assert reasons == {"hold timer expired"}

    run(test, tmp_path)


def test_a_lost_feed_changes_nothing_and_a_dead_instance_does(tmp_path: Path) -> None:
    async def test(world: ControllerRig) -> None:
        world.boot("rs1-0")
        world.boot("rs1-1")
        async with world.controller():
            feeds = await instances(world)
            agent = await world.feed("vm1", "agent")
            await table_when(agent, has_both)
            for feed in feeds:
                await feed.socket.close()
            assert await agent.silent()
            world.kill("rs1-0")
            assert await agent.silent(), "the other instance still lives, and its routes are the same"
            world.kill("rs1-1")
            table = await table_when(await world.feed("vm2", "agent"), lambda t: BRANCH not in t)
            assert table[DEFAULT] == "Internet"

    run(test, tmp_path)


def test_a_restarted_controller_waits_for_living_instances_before_it_sends(tmp_path: Path) -> None:
    async def test(world: ControllerRig) -> None:
        world.boot("rs1-0")
        world.boot("rs1-1")
        async with world.controller():
            await instances(world)
        async with world.controller():
            agent = await world.feed("vm1", "agent")
            assert await agent.silent()
            await instances(world)
            first = await agent.receive()
            assert BRANCH in first["tables"]["eth0"]["routes"]

    run(test, tmp_path)


def test_an_agent_that_connects_with_the_last_report_gets_no_empty_table(tmp_path: Path) -> None:
    """Between the last report and the conclusion from it there are no tables yet: a machine would lose its routes."""

    async def test(world: ControllerRig) -> None:
        world.boot("rs1-0")
        world.boot("rs1-1")
        async with world.controller():
            await instances(world)
        async with world.controller() as controller:
            agent = connection("vm1", AGENT)
            controller.feeds.connections["vm1"] = agent
            for node in ("rs1-0", "rs1-1"):
                controller.received(connection(node, ROUTE_SERVER), RibSnapshot({}, (), 1.0))
            controller.connected(agent)
            assert agent.sent == 0
            await asyncio.sleep(0)
            assert agent.sent == 1
            assert "0.0.0.0/0" in agent._queue.get_nowait()
            del controller.feeds.connections["vm1"]

    run(test, tmp_path)


def connection(node: str, channel: Channel[Any, Any]) -> FeedConnection:
    """A feed whose far end takes nothing yet."""
    return FeedConnection(node, channel, web.WebSocketResponse(), asyncio.Transport())


def test_an_instance_that_comes_back_joins_before_it_counts(tmp_path: Path) -> None:
    async def test(world: ControllerRig) -> None:
        async with world.controller():
            feeds = await instances(world)
            agents = [await world.feed(vm, "agent") for vm in ("vm1", "vm2")]
            for agent in agents:
                await table_when(agent, has_both)
            await feeds[0].socket.close()
            world.kill("rs1-0")
            world.boot("rs1-0")
            back = await world.feed("rs1-0", "routeserver")
            await back.receive()
            await back.report("snapshot", sessions={p: {"state": "Idle", "since": 2.0, "reason": ""} for p in UP})
            await back.report("delta", VIA_SDWAN, sessions={"sdwan-nva": UP["sdwan-nva"]})
            for agent in agents:
                assert await agent.silent(), "it does not know the security NVA's route yet"
            await back.report("delta", VIA_SECURITY, sessions={"security-nva": UP["security-nva"]})
            for agent in agents:
                assert await agent.silent(), "now it counts, and says the same"
            await feeds[1].report("delta", withdrawn=[{"peer": "sdwan-nva", "prefixes": [BRANCH]}])
            await back.report("delta", withdrawn=[{"peer": "sdwan-nva", "prefixes": [BRANCH]}])
            for agent in agents:
                await table_when(agent, lambda t: BRANCH not in t)

    run(test, tmp_path)


def test_a_route_table_changes_the_running_lab_and_survives_a_restart(tmp_path: Path) -> None:
    async def test(world: ControllerRig) -> None:
        async with world.controller():
            await instances(world)
            fabric = await world.feed("vnet1", "fabric")
            await fabric.receive()
            assert (await world.change(DeleteRoute("direct-internet", IPv4Network(DEFAULT))))[0] == 200
            delta = await fabric.receive()
            assert delta["tables"]
            rows = (await world.call("GET", "effective-routes/security-nva"))[1]["value"]
            assert [r["nextHopIpAddress"] for r in rows if r["addressPrefix"] == [DEFAULT]] == [["10.1.2.4"]]
        async with world.controller():
            tables = {table["name"]: table for table in (await world.call("GET", "route-tables"))[1]}
            assert tables["direct-internet"]["routes"] == []

    run(test, tmp_path)


def test_a_route_table_that_a_subnet_takes_goes_to_its_machines_alone(tmp_path: Path) -> None:
    """Machines get their new table as a whole, the fabric what is new to it; a restart keeps it."""

    async def test(world: ControllerRig) -> None:
        async with world.controller():
            await instances(world)
            fabric, vm = await world.feed("vnet1", "fabric"), await world.feed("vm1", "agent")
            ports = (await fabric.receive())["ports"]
            await vm.receive()
            added = IPv4Network("10.9.0.0/16")
            assert (await world.change(PutRouteTable("new"), PutRoute("new", added, NextHopType.NONE)))[0] == 200
            assert await vm.silent(), "nobody has it yet"
            assert (await world.change(AssociateRouteTable("vnet1", "workload", "new")))[0] == 200
            told = await vm.receive()
            assert (told["type"], "10.9.0.0/16" in told["tables"]["eth0"]["routes"]) == ("snapshot", True)
            delta = await fabric.receive()
            moved = {name: port["table"] for name, port in delta["ports"].items()}
            assert set(moved) == {"vm1", "vm2"}
            kept = {port.get("table") for name, port in ports.items() if name not in moved}
            left = {ports[name]["table"] for name in moved} - kept
            assert left
            assert (delta["tables"].keys(), delta["new_tables"].keys()) == (left, set(moved.values()))
            assert all("10.9.0.0/16" in delta["new_tables"][name]["routes"] for name in moved.values())
            assert all(delta["tables"][name] is None for name in left), "no port has them any more"
            # What comes after that is the difference again.
            await world.change(DeleteRoute("new", added))
            assert (await vm.receive())["tables"]["eth0"]["removed_routes"] == ["10.9.0.0/16"]
            delta = await fabric.receive()
            assert {name: t["removed_routes"] for name, t in delta["tables"].items()} == {
                name: ["10.9.0.0/16"] for name in moved.values()
            }
        async with world.controller():
            networks = {network["name"]: network for network in (await world.call("GET", "virtual-networks"))[1]}
            subnets = {subnet["name"]: subnet["routeTable"] for subnet in networks["vnet1"]["subnets"]}
            assert (subnets["workload"], subnets["sdwan"]) == ("new", None)
            assert (await world.change(DeleteRouteTable("new")))[0] == 422
            await world.change(DissociateRouteTable("vnet1", "workload"))
            assert (await world.change(DeleteRouteTable("new")))[0] == 200

    run(test, tmp_path)


def test_changes_that_are_refused_change_nothing(tmp_path: Path) -> None:
    async def test(world: ControllerRig) -> None:
        async with world.controller():
            good = PutRouteTable("new").to_json()
            for body, text in (
                ([good, DeleteRouteTable("nothing").to_json()], "there is no route table nothing."),
                ([good, {"change": "DeleteRouteTable"}], "change 2: DeleteRouteTable.routeTable: "),
                ({}, "this is not a list of changes."),
                (None, "the body is not JSON"),
            ):
                status, answer = await world.call("POST", "changes", body)
                assert status == 422
                assert text in answer["error"]
                assert (await world.call("GET", "changes"))[1] == []
            assert (await world.call("POST", "changes", [good]))[1] == [{"subject": "new", "what": "created"}]
            assert (await world.call("GET", "changes"))[1] == [good]

    run(test, tmp_path)


def test_learned_and_advertised_routes_have_azures_form(tmp_path: Path) -> None:
    async def test(world: ControllerRig) -> None:
        async with world.controller():
            feeds = await instances(world)
            learned = (await world.call("GET", "learned-routes/rs1/sdwan-nva"))[1]
            assert learned["RouteServiceRole_IN_0"] == [
                {
                    "asPath": "65001-65010",
                    "localAddress": "10.1.0.4",
                    "network": BRANCH,
                    "nextHop": "10.1.1.4",
                    "origin": "EBgp",
                    "sourcePeer": "10.1.1.4",
                    "weight": 32768,
                }
            ]
            asked = asyncio.create_task(world.call("GET", "advertised-routes/rs1/sdwan-nva"))
            for index, feed in enumerate(feeds):
                query = await feed.receive()
                group = route("", f"10.1.0.{4 + index}", [65515], "10.1.0.0/16")
                del group["peer"]
                await feed.socket.send_json({"type": "routes", "query": query["seq"], "routes": [group]})
            advertised = (await asked)[1]
            assert advertised["RouteServiceRole_IN_1"] == [
                {
                    "asPath": "65515",
                    "localAddress": "10.1.0.5",
                    "network": "10.1.0.0/16",
                    "nextHop": "10.1.0.5",
                    "origin": "Igp",
                    "weight": 0,
                }
            ]
            status, refusal = await world.call("GET", "learned-routes/rs1/vm1")
            assert status == 422
            assert "sdwan-nva, security-nva" in refusal["remedy"]

    run(test, tmp_path)


def test_a_stranger_gets_nothing(tmp_path: Path) -> None:
    async def test(world: ControllerRig) -> None:
        async with world.controller():
            stranger = await world.feed("vm1", "fabric")
            message = await stranger.socket.receive()
            assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)

    run(test, tmp_path)


def test_an_instance_that_comes_back_twice_has_its_time_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it takes part with nothing, and those who listen to it lose what the other instance knows all the while."""
    patience = 2.0
    monkeypatch.setattr("labkit.controller.controller.RETURN_PATIENCE", patience)

    async def test(world: ControllerRig) -> None:
        async with world.controller():
            await instances(world)

            async def until(**wanted: bool) -> None:
                while (await world.call("GET", "status"))[1]["instances"]["rs1-1"] != wanted:
                    await asyncio.sleep(0.01)

            await until(up=True, joining=False)
            for _ in range(2):
                world.kill("rs1-1")
                await until(up=False, joining=False)
                world.boot("rs1-1")
                feed = await world.feed("rs1-1", "routeserver")
                await feed.receive()
                began = time.monotonic()
                await feed.report("snapshot")
                await until(up=True, joining=True)
                await asyncio.sleep(patience / 2)  # so the first time ends within the second
            await until(up=True, joining=False)
            assert time.monotonic() - began >= patience

    run(test, tmp_path)


def test_the_log_has_the_operators_hand_on_a_power_switch(tmp_path: Path) -> None:
    async def test(world: ControllerRig) -> None:
        async with world.controller():
            assert (await world.call("PUT", "nodes/vm1/power", {"on": False}))[0] == 200
            assert (await world.call("PUT", "nodes/vm1/power", {"on": True}))[0] == 200
            bad: list[object] = [{}, {"on": 1}, {"off": True}, []]
            for wrong in bad:
                assert (await world.call("PUT", "nodes/vm1/power", wrong))[0] == 422
            events = [json.loads(line) for line in (await world.call("GET", "events"))[1].splitlines()]
            said = [(e["node"], e["text"]) for e in events if e["kind"] == "power"]
            assert said == [("vm1", "power off, by the operator"), ("vm1", "power on, by the operator")]

    run(test, tmp_path)


def test_a_new_lab_file_is_kept_and_its_route_servers_ask_for_routes_again(tmp_path: Path) -> None:
    async def test(world: ControllerRig) -> None:
        async with world.controller():
            first = await world.feed("rs1-0", "routeserver")
            assert (await first.receive())["type"] == "config"
            bad: list[object] = [[], {"parts": []}, {"parts": ["x"], "refresh": []}, {"parts": 1, "refresh": []}]
            for wrong in bad:
                assert (await world.call("PUT", "lab", wrong))[0] == 422
            came = {"parts": [["vm9", "made"]], "refresh": ["rs1"]}
            assert (await world.call("PUT", "lab", came))[0] == 200
            assert (await first.receive())["type"] == "refresh"
            second = await world.feed("rs1-1", "routeserver")
            assert [(await second.receive())["type"] for _ in range(2)] == ["config", "refresh"]
            events = [json.loads(line) for line in (await world.call("GET", "events"))[1].splitlines()]
            assert ("vm9", "made, by the operator") in [(e["node"], e["text"]) for e in events]
        assert (world.store / "desired.json").is_file()

    run(test, tmp_path)


def test_a_refused_session_is_in_the_log_and_changes_nothing(tmp_path: Path) -> None:
    async def test(world: ControllerRig) -> None:
        async with world.controller() as controller:
            first, _ = await instances(world)
            vm = await world.feed("vm1", "agent")
            await table_when(vm, has_both)
            former = controller.received_at
            reason = "OPEN message error: bad peer AS (64999 in its OPEN, 65001 registered)"
            for address, peer in (("10.1.1.4", "sdwan-nva"), ("10.1.10.4", "")):
                refusal = {"type": "refused", "address": address, "peer": peer, "reason": reason}
                await first.socket.send_json(refusal)
            await first.report("delta", sessions=established("sdwan-nva"))  # what follows has been taken after it
            while controller.received_at == former:
                await asyncio.sleep(0.01)
            assert await vm.silent()
            _, events = await world.call("GET", "events")
            refused = [e for e in map(json.loads, events.splitlines()) if "not established" in e["text"]]
            assert [(e["node"], e["kind"], e["text"]) for e in refused] == [
                ("rs1-0", "session", f"session sdwan-nva (10.1.1.4) not established: {reason}"),
                ("rs1-0", "session", f"session 10.1.10.4 not established: {reason}"),
            ]

    run(test, tmp_path)
