"""The controller over its real sockets, and whoever talks to it: the test plays agents, fabrics and instances."""

import asyncio
import fcntl
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from labkit.azure.changes.base import Change
from labkit.azure.changes.registry import to_json
from labkit.controller.api import Api
from labkit.controller.controller import Controller
from labkit.lab.build import plan
from labkit.lab.model import Lab

ATTRIBUTES: dict[str, Any] = {
    "origin": "igp",
    "med": None,
    "communities": [],
    "large_communities": [],
    "unknown": [],
}


def route(peer: str, next_hop: str, as_path: list[int], *prefixes: str) -> dict[str, Any]:
    return {"peer": peer, "attributes": {**ATTRIBUTES, "next_hop": next_hop, "as_path": as_path}, "prefixes": prefixes}


def established(*peers: str) -> dict[str, dict[str, Any]]:
    return {peer: {"state": "Established", "since": 1.0, "reason": ""} for peer in peers}


class Feed:
    """One node's end of its feed."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.groups: dict[str, str] = {}
        self.routes: dict[str, int] = {}

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(30):
            message: dict[str, Any] = await self.socket.receive_json()
        return message

    async def silent(self) -> bool:
        try:
            async with asyncio.timeout(0.2):
                await self.socket.receive()
        except TimeoutError:
            return True
        return False

    async def report(self, kind: str, *routes: dict[str, Any], **fields: Any) -> None:
        key = "routes" if kind == "snapshot" else "announced"
        body: dict[str, Any] = {"sessions": {}, key: routes, "time": 1.0}
        if kind == "delta":
            body["withdrawn"] = []
        await self.socket.send_json({"type": kind, **body, **fields})


async def table_when(feed: Feed, done: Callable[[dict[str, str]], bool]) -> dict[str, str]:
    """Follow a feed until its table is as wanted; routes as `{prefix: "type next-hops"}`."""
    while True:
        message = await feed.receive()
        table = message["tables"]["eth0"]
        if message["type"] == "snapshot":
            feed.groups, feed.routes = {}, {}
        feed.groups |= {i: " ".join([g["type"], *g["next_hops"]]) for i, g in table["groups"].items()}
        feed.routes |= table["routes"]
        for prefix in table.get("removed_routes", ()):
            del feed.routes[prefix]
        await feed.socket.send_json({"type": "applied", "seq": message["seq"], "error": None})
        now = {prefix: feed.groups[str(i)] for prefix, i in feed.routes.items()}
        if done(now):
            return now


class ControllerRig:
    """A controller and whoever talks to it."""

    def __init__(self, folder: Path, lab: Lab) -> None:
        self.lab = lab
        self.run, self.store, self.api_socket = folder / "run", folder / "store", folder / "api.sock"
        self.store.mkdir(exist_ok=True)
        for node in plan(lab).nodes:
            (self.run / node.name).mkdir(parents=True, exist_ok=True)
        self.sessions: list[aiohttp.ClientSession] = []
        self.locks: dict[str, Any] = {}

    def boot(self, node: str) -> None:
        self.locks[node] = (self.run / node / "alive").open("w")
        fcntl.flock(self.locks[node], fcntl.LOCK_EX)

    def kill(self, node: str) -> None:
        self.locks.pop(node).close()

    async def feed(self, node: str, role: str) -> Feed:
        session = aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self.run / node / "feed.sock")))
        self.sessions.append(session)
        socket = await session.ws_connect("http://controller/", max_msg_size=0)
        await socket.send_json({"type": "hello", "node": node, "role": role})
        return Feed(socket)

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        connector = aiohttp.UnixConnector(str(self.api_socket))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.request(method, f"http://controller/v1/{path}", json=body) as response,
        ):
            text = await response.text()
            return response.status, json.loads(text) if "ndjson" not in response.content_type else text

    async def change(self, *changes: Change) -> tuple[int, Any]:
        return await self.call("POST", "changes", to_json(changes))

    @asynccontextmanager
    async def controller(self) -> AsyncIterator[Controller]:
        controller = Controller(self.lab, self.run, self.store)
        api = Api(controller)
        await controller.start()
        await api.start(self.api_socket)
        try:
            yield controller
        finally:
            for session in self.sessions:
                await session.close()
            self.sessions.clear()
            await api.stop()
            await controller.stop()


def run(test: Callable[[ControllerRig], Awaitable[None]], folder: Path, lab: Lab) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await test(ControllerRig(folder, lab))

    asyncio.run(bounded())
