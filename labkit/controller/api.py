"""The operator API: what the platform knows, in Azure's own forms, and what may be changed while the lab runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from labkit.azure.model import BgpPeer, Gateway, RouteServer
from labkit.azure.rules.decision import decide, decision_json
from labkit.azure.rules.rows import by_instance, effective_json, learned_rows
from labkit.controller import gateway_views as views
from labkit.controller import requests
from labkit.controller.changed import changed, reset
from labkit.controller.controller import Controller
from labkit.controller.model_view import azure_json, model
from labkit.controller.platform import Instance
from labkit.controller.session import session_json
from labkit.errors import InvalidInput
from labkit.lab.route_table import must_be_a_route_table, parse_route_table, route_table_text

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """The API's server on a Unix socket."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._platform = controller.platform
        application = web.Application(middlewares=[_refusals])
        application.add_routes(
            [
                web.get("/v1/status", self._status),
                web.get("/v1/state", self._state),
                web.get("/v1/model", self._model),
                web.get("/v1/learned-routes/{server}/{peer}", self._learned),
                web.get("/v1/advertised-routes/{server}/{peer}", self._advertised),
                web.get("/v1/effective-routes/{nic}", self._effective),
                web.get("/v1/decisions/{nic}/{destination}", self._decision),
                web.get("/v1/route-tables", self._route_tables),
                web.put("/v1/route-tables/{name}", self._put_route_table),
                web.post("/v1/route-tables/{name}", self._create_route_table),
                web.delete("/v1/route-tables/{name}", self._delete_route_table),
                web.get("/v1/subnets", self._subnets),
                web.put("/v1/subnets/{network}/{subnet}", self._put_subnet),
                web.get("/v1/route-servers", self._route_servers),
                web.get("/v1/route-servers/{server}", self._route_server),
                web.put("/v1/route-servers/{server}", self._put_route_server),
                web.post("/v1/route-servers/{server}", self._create_route_server),
                web.delete("/v1/route-servers/{server}", self._delete_route_server),
                web.get("/v1/route-servers/{server}/peers", self._peers),
                web.put("/v1/route-servers/{server}/peers/{peer}", self._put_peer),
                web.delete("/v1/route-servers/{server}/peers/{peer}", self._delete_peer),
                web.get("/v1/virtual-networks", self._virtual_networks),
                web.put("/v1/virtual-networks/{network}", self._put_virtual_network),
                web.get("/v1/peerings", self._peerings),
                web.put("/v1/peerings/{local}/{remote}", self._put_peering),
                web.delete("/v1/peerings/{local}/{remote}", self._delete_peering),
                web.get("/v1/gateways/{gateway}/bgp-peers", self._bgp_peers),
                web.get("/v1/gateways/{gateway}/learned-routes", self._gateway_learned),
                web.get("/v1/gateways/{gateway}/advertised-routes/{peer}", self._gateway_advertised),
                web.get("/v1/changes", self._changes),
                web.post("/v1/reset", self._reset),
                web.put("/v1/nodes/{node}/power", self._put_power),
                web.get("/v1/events", self._events),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)

    async def start(self, path: Path) -> None:
        """Listen at `path`."""
        await self._runner.setup()
        path.unlink(missing_ok=True)
        await web.UnixSite(self._runner, str(path)).start()

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    # What the platform knows.

    def status(self) -> dict[str, Any]:
        """Which nodes are connected and how far they are, which instances live, every session's and backend's state."""
        platform, controller = self._platform, self._controller
        nodes = {}
        for node, role in controller.roles.items():
            connection = controller.feeds.connections.get(node)
            nodes[node] = {
                "role": role,
                "connected": connection is not None,
                "sent_seq": connection.sent if connection else 0,
                "applied_seq": connection.applied if connection else 0,
                "applied_at": connection.applied_at if connection else 0.0,
                "error": connection.error if connection else "",
            }
        sessions = []
        for instance in platform.instance_ids:
            known = platform.instances.get(instance)
            for peer in platform.all_peers(instance.name):
                session = known.sessions.get(peer.name) if known else None
                sessions.append(
                    {
                        "route_server": instance.name,
                        "instance": instance.index,
                        "peer": peer.name,
                        **session_json(session, alive=known is not None),
                    }
                )
        return {
            "lab": platform.declared.name,
            "nodes": nodes,
            "instances": {i.node: _instance(platform.instances.get(i)) for i in platform.instance_ids},
            "sessions": sessions,
            "gateways": views.sessions(platform),
            "backends": controller.load_balancers.backends(),
            "programmed": controller.programmed(),
            "reported": controller.reported,
            "heard": controller.heard,
            "concluded": controller.concluded,
        }

    def learned(self, server: RouteServer, peer: BgpPeer) -> dict[str, Any]:
        """What both instances have learned from a peer, as `list-learned-routes` prints it."""
        routes = self._platform.learned().get(server.name, (None, None))  # deleted since somebody asked: nothing
        first, second = (learned_rows(server, i, peer, routes[i] or {}) for i in (0, 1))
        return by_instance(first, second)

    async def advertised(self, server: RouteServer, peer: BgpPeer) -> dict[str, Any]:
        """What both instances advertise to a peer, as `list-advertised-routes` prints it; they are asked."""
        first, second = await asyncio.gather(*(self._controller.advertised(server, i, peer) for i in (0, 1)))
        return by_instance(first, second)

    # The handlers.

    async def _status(self, _request: web.Request) -> web.Response:
        return web.json_response(self.status())

    async def _state(self, _request: web.Request) -> web.Response:
        """Everything at once, for those who check the lab as a whole."""
        platform = self._platform
        pairs = [(s, peer) for s in platform.azure.route_servers for peer in platform.all_peers(s.name)]
        advertised: dict[str, dict[str, Any]] = {server.name: {} for server in platform.azure.route_servers}
        learned: dict[str, dict[str, Any]] = {server.name: {} for server in platform.azure.route_servers}
        for (server, peer), rows in zip(
            pairs, await asyncio.gather(*(self.advertised(*pair) for pair in pairs)), strict=True
        ):
            advertised[server.name][peer.name] = rows
            learned[server.name][peer.name] = self.learned(server, peer)
        return web.json_response(
            {
                "azure": azure_json(platform.azure),
                "gone": sorted(instance.node for instance in platform.alone),
                "status": self.status(),
                "learned": learned,
                "advertised": advertised,
                "gateways": {g.name: views.learned(platform, g) for g in platform.azure.gateways},
                "effective": {nic.name: effective_json(platform.rows(nic.name)) for nic in platform.azure.nics},
                "oracle": {
                    nic.name: platform.table(platform.table_key[nic.name]).wire() for nic in platform.azure.nics
                },
            }
        )

    async def _model(self, _request: web.Request) -> web.Response:
        return web.json_response(await model(self._controller))

    async def _learned(self, request: web.Request) -> web.Response:
        return web.json_response(self.learned(*self._server_and_peer(request)))

    async def _advertised(self, request: web.Request) -> web.Response:
        return web.json_response(await self.advertised(*self._server_and_peer(request)))

    async def _effective(self, request: web.Request) -> web.Response:
        return web.json_response(effective_json(self._platform.rows(self._nic(request))))

    async def _decision(self, request: web.Request) -> web.Response:
        """What a NIC does with packets to an address, and why."""
        nic, platform = self._nic(request), self._platform
        try:
            destination = IPv4Address(request.match_info["destination"])
        except AddressValueError:
            raise InvalidInput(f"{request.match_info['destination']} is not an IPv4 address.") from None
        found = decide(
            platform.azure,
            nic,
            destination,
            table=platform.rows(nic),
            learned=platform.learned(),
            gateways=platform.gateways.routes(platform.azure),
        )
        return web.json_response(decision_json(found))

    def _nic(self, request: web.Request) -> str:
        """The NIC that a path names.

        Raises:
            InvalidInput: there is none of this name.
        """
        nic, nics = request.match_info["nic"], sorted(self._platform.azure.nic)
        if nic not in nics:
            raise InvalidInput(f"there is no NIC {nic}.", f"These are: {', '.join(nics)}.")
        return nic

    async def _route_tables(self, _request: web.Request) -> web.Response:
        return web.json_response({t.name: route_table_text(t) for t in self._platform.azure.route_tables})

    async def _put_route_table(self, request: web.Request) -> web.Response:
        said, name = await request.json(), request.match_info["name"]
        must_be_a_route_table(name, self._platform.azure)
        table = parse_route_table(name, said, self._platform.azure)
        self._controller.change(requests.route_table(self._platform.azure, table))
        return web.json_response(route_table_text(table))

    async def _create_route_table(self, request: web.Request) -> web.Response:
        said, azure = await request.json(), self._platform.azure
        table = parse_route_table(request.match_info["name"], said, azure)
        return self._done(requests.create_route_table(azure, table))

    async def _delete_route_table(self, request: web.Request) -> web.Response:
        return self._done(requests.delete_route_table(self._platform.azure, request.match_info["name"]))

    async def _subnets(self, _request: web.Request) -> web.Response:
        networks = self._platform.azure.virtual_networks
        return web.json_response(
            {f"{network.name}/{s.name}": {"routeTable": s.route_table} for network in networks for s in network.subnets}
        )

    async def _put_subnet(self, request: web.Request) -> web.Response:
        said, network = await request.json(), request.match_info["network"]
        return self._done(requests.associate(self._platform.azure, network, request.match_info["subnet"], said))

    async def _route_servers(self, _request: web.Request) -> web.Response:
        return web.json_response({server.name: _settings_json(server) for server in self._platform.azure.route_servers})

    async def _route_server(self, request: web.Request) -> web.Response:
        return web.json_response(_settings_json(self._server(request)))

    async def _put_route_server(self, request: web.Request) -> web.Response:
        said = await request.json()  # first: nothing may come between looking at the model and changing it
        server = self._server(request)
        self._controller.change(requests.server_settings(self._platform.azure, server, said))
        return web.json_response(_settings_json(self._platform.azure.route_server[server.name]))

    async def _create_route_server(self, request: web.Request) -> web.Response:
        name = request.match_info["server"]
        return self._done(requests.create_server(self._platform.azure, self._platform.declared, name))

    async def _delete_route_server(self, request: web.Request) -> web.Response:
        return self._done(requests.delete_server(self._platform.azure, self._server(request)))

    async def _peers(self, request: web.Request) -> web.Response:
        rows = [{"name": p.name, "peerAsn": p.asn, "peerIp": str(p.address)} for p in self._server(request).peers]
        return web.json_response(rows)

    async def _put_peer(self, request: web.Request) -> web.Response:
        said = await request.json()
        azure, server, name = self._platform.azure, self._server(request), request.match_info["peer"]
        return self._done(requests.put_peer(azure, self._platform.declared, server, name, said))

    async def _delete_peer(self, request: web.Request) -> web.Response:
        server, name = self._server(request), request.match_info["peer"]
        return self._done(requests.delete_peer(self._platform.azure, server, name))

    async def _virtual_networks(self, _request: web.Request) -> web.Response:
        networks = self._platform.azure.virtual_networks
        return web.json_response({n.name: {"addressPrefixes": [str(p) for p in n.address_space]} for n in networks})

    async def _put_virtual_network(self, request: web.Request) -> web.Response:
        said, name = await request.json(), request.match_info["network"]
        return self._done(requests.address_space(self._platform.azure, name, said))

    async def _peerings(self, _request: web.Request) -> web.Response:
        azure = self._platform.azure
        return web.json_response([requests.peering_text(azure, peering) for peering in azure.peerings])

    async def _put_peering(self, request: web.Request) -> web.Response:
        said, (local, remote) = await request.json(), _ends(request)
        return self._done(requests.put_peering(self._platform.azure, self._platform.declared, local, remote, said))

    async def _delete_peering(self, request: web.Request) -> web.Response:
        return self._done(requests.delete_peering(self._platform.azure, *_ends(request)))

    async def _changes(self, _request: web.Request) -> web.Response:
        return web.json_response([asdict(c) for c in changed(self._platform.declared.azure, self._platform.azure)])

    async def _reset(self, _request: web.Request) -> web.Response:
        return self._done(reset(self._platform.azure, self._platform.declared))

    def _done(self, request: requests.Request) -> web.Response:
        self._controller.change(request)
        return web.json_response({"subject": request.subject, "what": request.what})

    async def _gateway_learned(self, request: web.Request) -> web.Response:
        gateway = self._gateway(request)
        return web.json_response(views.learned(self._platform, gateway))

    async def _gateway_advertised(self, request: web.Request) -> web.Response:
        gateway = self._gateway(request)
        return web.json_response(await views.advertised(self._controller, gateway, request.match_info["peer"]))

    async def _bgp_peers(self, request: web.Request) -> web.Response:
        return web.json_response(await views.bgp_peers(self._controller, self._gateway(request)))

    async def _put_power(self, request: web.Request) -> web.Response:
        """The operator is about to switch a node; whoever does it says so, for the event log."""
        said, node = await request.json(), request.match_info["node"]
        if not isinstance(said, dict) or said.keys() != {"on"} or not isinstance(said["on"], bool):
            raise InvalidInput("this is no state of a power switch.", "It has: on, true or false.")
        what = f"power {'on' if said['on'] else 'off'}"
        self._controller.events.add(node, "power", f"{what}, by the operator")
        return web.json_response({"subject": node, "what": what})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        if request.query.get("follow") != "1":
            for line in self._controller.events.past():
                await response.write(line.encode() + b"\n")
            return response
        with self._controller.events.follow() as lines:
            async for line in lines:
                await response.write(line.encode() + b"\n")
        return response

    def _server_and_peer(self, request: web.Request) -> tuple[RouteServer, BgpPeer]:
        """The route server and the peer that a path names.

        Raises:
            InvalidInput: one of them does not exist; as in Azure, a peer goes by its own name.
        """
        server, peer_name = self._server(request), request.match_info["peer"]
        peers = self._platform.all_peers(server.name)
        for peer in peers:
            if peer.name == peer_name:
                return server, peer
        names = ", ".join(p.name for p in peers)
        remedy = f"Its peers are: {names}." if names else "It has none; gateways are, while branch-to-branch is on."
        raise InvalidInput(f"route server {server.name} has no peer {peer_name}.", remedy)

    def _server(self, request: web.Request) -> RouteServer:
        servers, name = self._platform.azure.route_server, request.match_info["server"]
        if name not in servers:
            remedy = f"These are: {', '.join(sorted(servers))}." if servers else "Create it: labkit route-server create"
            raise InvalidInput(f"there is no route server {name}.", remedy)
        return servers[name]

    def _gateway(self, request: web.Request) -> Gateway:
        gateways, name = self._platform.azure.gateway, request.match_info["gateway"]
        if not gateways:
            raise InvalidInput("this lab has no gateways.")
        if name not in gateways:
            raise InvalidInput(f"there is no gateway {name}.", f"These are: {', '.join(sorted(gateways))}.")
        return gateways[name]


def _ends(request: web.Request) -> tuple[str, str]:
    return request.match_info["local"], request.match_info["remote"]


def _instance(known: Instance | None) -> dict[str, bool]:
    return {"up": known is not None, "joining": known is not None and known.joining}


def _settings_json(server: RouteServer) -> dict[str, object]:
    """A route server's settings under Azure's names."""
    return {
        "allowBranchToBranchTraffic": server.branch_to_branch,
        "hubRoutingPreference": str(server.hub_routing_preference),
    }


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn a refusal into an answer that the command line can show."""
    try:
        return await handler(request)
    except InvalidInput as refusal:
        return web.json_response({"error": refusal.message, "remedy": refusal.remedy}, status=422)
    except ValidationError as error:
        return web.json_response({"error": str(error), "remedy": ""}, status=422)
