"""What is reported to the controller of backends, and to whom it sends it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from labkit.lab.load import load
from labkit.lab.route_table import user_route

from . import world as worlds
from .world import ControllerRig

LAB = load(Path(__file__).parents[2] / "e2e" / "labs" / "load-balancer.lab.yml")
REFUSED = "its probe on TCP 179 failed twice: connection refused"


def probes(**found: bool) -> dict[str, Any]:
    return {
        "type": "probes",
        "found": [
            {"load_balancer": "lb1", "backend": backend, "up": up, "reason": "" if up else REFUSED}
            for backend, up in found.items()
        ],
    }


def test_a_fabric_is_sent_what_it_needs_and_what_others_found(tmp_path: Path) -> None:
    async def test(world: ControllerRig) -> None:
        async with world.controller() as controller:
            for instance in ("rs1-0", "rs1-1"):
                world.boot(instance)
            hub, spoke = await world.feed("vnet1", "fabric"), await world.feed("spoke", "fabric")
            own, other = await hub.receive(), await spoke.receive()
            pool = {"nva1": "10.1.1.4", "nva2": "10.1.1.5"}
            told = {"address": "10.1.1.100", "backends": pool, "healthy": None}
            probe = {"port": 179, "interval": 5, "count": 2}
            assert own["load_balancers"] == {"lb1": {**told, "probe": probe}}
            assert other["load_balancers"] == {"lb1": {**told, "probe": None}}

            await hub.socket.send_json(probes(nva1=True, nva2=False))
            delta = await spoke.receive()
            assert delta["healthy"] == {"lb1": ["nva1"]}
            assert (delta["ports"], delta["tables"]) == ({}, {})
            await hub.socket.send_json(probes(nva1=True, nva2=False))
            assert await spoke.silent(), "nothing new"
            assert await hub.silent(), "it knows best"
            _, status = await world.call("GET", "status")
            rows = [(b["backend"], b["address"], b["state"], b["reason"]) for b in status["backends"]]
            assert rows == [("nva1", "10.1.1.4", "Up", ""), ("nva2", "10.1.1.5", "Down", REFUSED)]
            said = [line for line in controller.events.past() if '"lb1"' in line]
            assert len(said) == 2
            assert "nva2 is down" in said[1]
            assert REFUSED in said[1]

            # A fabric that comes back begins with what is known.
            hub = await world.feed("vnet1", "fabric")
            assert (await hub.receive())["load_balancers"]["lb1"]["healthy"] == ["nva1"]
            # Only who probes a load balancer is believed.
            spoke = await world.feed("spoke", "fabric")
            await spoke.receive()
            await spoke.socket.send_json(probes(nva2=True))
            assert await spoke.silent()
            assert controller.load_balancers.backends()[1].state == "Down"
            # One that the lab had before it became another is nobody's, and the feed goes on.
            former = probes(nva1=False)
            former["found"][0]["load_balancer"] = "former"
            await hub.socket.send_json(former)
            await hub.socket.send_json(probes(nva2=True))
            assert (await spoke.receive())["healthy"] == {"lb1": ["nva1", "nva2"]}

    worlds.run(test, tmp_path, LAB)


def test_a_load_balancer_stands_for_its_frontend() -> None:
    frontend = LAB.azure.load_balancer["lb1"].address
    assert [each.exports[0].changes.next_hop for each in LAB.azure.appliances] == [frontend, frontend]
    assert LAB.azure.route_table["by-hand"].routes[0].next_hop == frontend
    assert user_route("10.9.0.0/16", "lb1", LAB.azure).next_hop == frontend
