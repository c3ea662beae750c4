"""The operator API: what the platform knows, in Azure's own forms, and what may be changed while the lab runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path

from aiohttp import web

from labkit.azure.changes import registry
from labkit.azure.changes.difference import difference
from labkit.azure.model import BgpPeer, Gateway, RouteServer
from labkit.azure.rules.addressing import GATEWAY_SUBNET
from labkit.azure.rules.decision import Decision, decide
from labkit.azure.rules.effective import lookup
from labkit.azure.rules.rows import AdvertisedRow, LearnedRow, by_instance, effective_json, learned_rows, next_hop_json
from labkit.controller import gateway_views as views
from labkit.controller.controller import Controller
from labkit.controller.model_view import model
from labkit.controller.objects import (
    authorizations_json,
    connection_json,
    gateway_json,
    peer_json,
    peering_json,
    route_server_json,
    route_table_json,
    virtual_network_json,
)
from labkit.controller.session import shown
from labkit.errors import EnvironmentProblem, InvalidInput
from labkit.feed.codec import to_json
from labkit.feed.state import PlatformModel, PlatformState
from labkit.feed.status import InstanceStatus, NodeFeed, PlatformStatus, RouteServerSession
from labkit.names import meant

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """The API's server on a Unix socket."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._platform = controller.platform
        self.application = web.Application(middlewares=[_refusals])
        self.application.add_routes(
            [
                web.get("/v1/status", self._status),
                web.get("/v1/state", self._state),
                web.get("/v1/model", self._model),
                web.get("/v1/learned-routes/{server}/{peer}", self._learned),
                web.get("/v1/advertised-routes/{server}/{peer}", self._advertised),
                web.get("/v1/effective-routes/{nic}", self._effective),
                web.get("/v1/decisions/{nic}/{destination}", self._decision),
                web.get("/v1/next-hops/{nic}/{destination}", self._next_hop),
                web.get("/v1/route-tables", self._route_tables),
                web.get("/v1/route-servers", self._route_servers),
                web.get("/v1/route-servers/{server}", self._route_server),
                web.get("/v1/route-servers/{server}/peers", self._peers),
                web.get("/v1/virtual-networks", self._virtual_networks),
                web.get("/v1/peerings", self._peerings),
                web.get("/v1/connections", self._connections),
                web.get("/v1/authorizations", self._authorizations),
                web.get("/v1/gateways", self._gateways),
                web.get("/v1/gateways/{gateway}/bgp-peers", self._bgp_peers),
                web.get("/v1/gateways/{gateway}/learned-routes", self._gateway_learned),
                web.get("/v1/gateways/{gateway}/advertised-routes/{peer}", self._gateway_advertised),
                web.get("/v1/changes", self._changes),
                web.post("/v1/changes", self._post_changes),
                web.put("/v1/lab", self._put_lab),
                web.put("/v1/nodes/{node}/power", self._put_power),
                web.get("/v1/events", self._events),
            ]
        )
        self._runner = web.AppRunner(self.application, access_log=None, shutdown_timeout=1)

    async def start(self, path: Path) -> None:
        """Listen at `path`."""
        await self._runner.setup()
        path.unlink(missing_ok=True)
        await web.UnixSite(self._runner, str(path)).start()

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    # What the platform knows.

    def status(self) -> PlatformStatus:
        """Which nodes are connected and how far they are, which instances live, every session's and backend's state."""
        platform, controller = self._platform, self._controller
        return PlatformStatus(
            platform.declared.name,
            {node: self._feed(node, role) for node, role in controller.roles.items()},
            {
                i.node: InstanceStatus(known is not None, known is not None and known.joining)
                for i in platform.instance_ids
                for known in (platform.instances.get(i),)
            },
            tuple(self._sessions()),
            tuple(views.sessions(platform)),
            controller.load_balancers.backends(),
            controller.programmed(),
            controller.reported,
            controller.received_at,
            controller.concluded,
            platform.built_sessions,
        )

    def _feed(self, node: str, role: str) -> NodeFeed:
        connection = self._controller.feeds.connections.get(node)
        if connection is None:
            return NodeFeed(role, False, 0, 0, 0.0, "")
        sent, applied = connection.sent, connection.applied
        return NodeFeed(role, True, sent, applied, connection.applied_at, connection.error)

    def _sessions(self) -> Iterator[RouteServerSession]:
        for instance in self._platform.instance_ids:
            known = self._platform.instances.get(instance)
            for peer in self._platform.all_peers(instance.name):
                session = known.sessions.get(peer.name) if known is not None else None
                parts = shown(session, alive=known is not None)
                yield RouteServerSession(instance.name, instance.index, peer.name, *parts)

    async def state(self) -> PlatformState:
        """Everything at once; instances are asked for what they advertise."""
        platform, servers = self._platform, self._platform.azure.route_servers
        pairs = [(server, peer) for server in servers for peer in platform.all_peers(server.name)]
        learned: dict[str, dict[str, Mapping[str, list[LearnedRow]]]] = {server.name: {} for server in servers}
        advertised: dict[str, dict[str, Mapping[str, list[AdvertisedRow]]]] = {server.name: {} for server in servers}
        tables = await asyncio.gather(*(self.advertised(*pair) for pair in pairs))
        for (server, peer), rows in zip(pairs, tables, strict=True):
            advertised[server.name][peer.name] = rows
            learned[server.name][peer.name] = self.learned(server, peer)
        nics = [nic.name for nic in platform.azure.nics]
        return PlatformState(
            platform.azure,
            tuple(sorted(platform.gone)),
            self.status(),
            learned,
            advertised,
            {g.name: views.learned(platform, g, views.instances(platform, g)) for g in platform.azure.gateways},
            {nic: effective_json(platform.rows(nic)) for nic in nics},
            {nic: platform.table(platform.table_key[nic]).message() for nic in nics},
            tuple(sorted(platform.idle)),
        )

    def learned(self, server: RouteServer, peer: BgpPeer) -> dict[str, list[LearnedRow]]:
        """What both instances have learned from a peer, as `list-learned-routes` prints it."""
        routes = self._platform.learned().get(server.name, (None, None))  # deleted since somebody asked: nothing
        first, second = (learned_rows(server, i, peer, routes[i] or {}) for i in (0, 1))
        return by_instance(first, second)

    async def advertised(self, server: RouteServer, peer: BgpPeer) -> dict[str, list[AdvertisedRow]]:
        """What both instances advertise to a peer, as `list-advertised-routes` prints it; they are asked."""
        first, second = await asyncio.gather(*(self._controller.advertised(server, i, peer) for i in (0, 1)))
        return by_instance(first, second)

    # The handlers.

    async def _status(self, _request: web.Request) -> web.Response:
        """A PlatformStatus; `labkit status --format json` has it as `platform`."""
        return web.json_response(to_json(PlatformStatus, self.status()))

    async def _state(self, _request: web.Request) -> web.Response:
        """Everything at once, for those who check the lab as a whole: a PlatformState."""
        return web.json_response(to_json(PlatformState, await self.state()))

    async def _model(self, _request: web.Request) -> web.Response:
        """Azure's objects and every speaker's routes with all attributes: a PlatformModel."""
        return web.json_response(to_json(PlatformModel, await model(self._controller)))

    async def _learned(self, request: web.Request) -> web.Response:
        """What both instances have learned from a peer: lists of LearnedRow by instance."""
        return web.json_response(self.learned(*self._server_and_peer(request)))

    async def _advertised(self, request: web.Request) -> web.Response:
        """What both instances advertise to a peer: lists of AdvertisedRow by instance."""
        return web.json_response(await self.advertised(*self._server_and_peer(request)))

    async def _effective(self, request: web.Request) -> web.Response:
        """A NIC's effective routes: `value`, a list of EffectiveRow."""
        return web.json_response(effective_json(self._platform.rows(self._nic(request))))

    async def _decision(self, request: web.Request) -> web.Response:
        """What a NIC does with packets to an address, and why: a Decision."""
        nic, platform, destination = self._nic(request), self._platform, _destination(request)
        found = decide(
            platform.azure,
            nic,
            destination,
            table=platform.rows(nic),
            learned=platform.learned(),
            gateways=platform.gateways.routes(platform.azure),
        )
        return web.json_response(to_json(Decision, found))

    async def _next_hop(self, request: web.Request) -> web.Response:
        """Where a NIC sends packets to an address, as Network Watcher has it: a NextHopRow."""
        nic, platform = self._nic(request), self._platform
        key = platform.table_key[nic]
        found = lookup(platform.rows(nic), _destination(request))
        return web.json_response(next_hop_json(found, key.route_table or None))

    def _nic(self, request: web.Request) -> str:
        """The NIC that a path names, by its own name or as the primary one of a machine; of a GatewaySubnet the first.

        Raises:
            InvalidInput: there is none of this name.
        """
        name, azure = request.match_info["nic"], self._platform.azure
        gateways = (nic for nic in reversed(azure.nics) if nic.subnet == GATEWAY_SUBNET)
        of_subnet = {f"{nic.virtual_network}/{nic.subnet}": nic.name for nic in gateways}
        known = meant(name, (*azure.nic, *(nic.machine for nic in azure.nics), *of_subnet))
        if known is None:
            raise InvalidInput(f"there is no NIC {name}.", f"These are: {', '.join(sorted(azure.nic))}.")
        return of_subnet.get(known) or azure.find_nic(known).name

    async def _route_tables(self, _request: web.Request) -> web.Response:
        """A list of RouteTable."""
        azure = self._platform.azure
        return web.json_response([route_table_json(azure, table) for table in azure.route_tables])

    async def _route_servers(self, _request: web.Request) -> web.Response:
        """A list of RouteServer."""
        return web.json_response([route_server_json(server) for server in self._platform.azure.route_servers])

    async def _route_server(self, request: web.Request) -> web.Response:
        """One RouteServer."""
        return web.json_response(route_server_json(self._server(request)))

    async def _peers(self, request: web.Request) -> web.Response:
        """The peers of a route server that are configured: a list of Peer."""
        return web.json_response([peer_json(peer) for peer in self._server(request).peers])

    async def _virtual_networks(self, _request: web.Request) -> web.Response:
        """A list of VirtualNetwork."""
        return web.json_response([virtual_network_json(n) for n in self._platform.azure.virtual_networks])

    async def _peerings(self, _request: web.Request) -> web.Response:
        """The sides of peerings: a list of Peering."""
        azure = self._platform.azure
        return web.json_response([peering_json(azure, peering) for peering in azure.peerings])

    async def _gateways(self, _request: web.Request) -> web.Response:
        """A list of Gateway."""
        return web.json_response([gateway_json(each) for each in self._platform.azure.gateways])

    async def _connections(self, _request: web.Request) -> web.Response:
        """The connections of gateways: a list of Connection."""
        return web.json_response([connection_json(each) for each in self._platform.azure.connections])

    async def _authorizations(self, _request: web.Request) -> web.Response:
        """The authorizations of circuits: a list of Authorization."""
        return web.json_response(authorizations_json(self._platform.azure))

    async def _changes(self, _request: web.Request) -> web.Response:
        """The changes that turn what the lab's file has into the lab as it is: a list of changes."""
        changes = difference(self._platform.declared.azure, self._platform.azure)
        return web.json_response(registry.to_json(changes))

    async def _post_changes(self, request: web.Request) -> web.Response:
        """Carry out a list of changes, all of them or none: `subject` and `what` of each that was made."""
        done = self._controller.change(registry.from_json(await request.json()))
        return web.json_response([{"subject": each.change.subject, "what": each.what} for each in done])

    async def _gateway_learned(self, request: web.Request) -> web.Response:
        """What a gateway has learned, one instance of an ExpressRoute gateway: `value`, a list of LearnedRow."""
        platform, gateway = self._platform, self._gateway(request)
        running = [i for i in views.instances(platform, gateway) if i in platform.gateways.running]
        return web.json_response(views.learned(platform, gateway, views.listed(gateway, running)))

    async def _gateway_advertised(self, request: web.Request) -> web.Response:
        """What a gateway advertises to a neighbour: `value`, a list of AdvertisedRow."""
        gateway = self._gateway(request)
        return web.json_response(await views.advertised(self._controller, gateway, request.match_info["peer"]))

    async def _bgp_peers(self, request: web.Request) -> web.Response:
        """The BGP sessions of a gateway, as `az network vnet-gateway list-bgp-peer-status` prints them."""
        return web.json_response(await views.bgp_peers(self._controller, self._gateway(request)))

    async def _put_power(self, request: web.Request) -> web.Response:
        """Record in the event log that the operator switches a node `on` or off."""
        body, node = await request.json(), request.match_info["node"]
        if not isinstance(body, dict) or body.keys() != {"on"} or not isinstance(body["on"], bool):
            raise InvalidInput("this is not the state of a power switch.", 'Send {"on": true} or {"on": false}.')
        what = f"power {'on' if body['on'] else 'off'}"
        self._controller.events.add(node, "power", f"{what}, by the operator")
        return web.json_response({"subject": node, "what": what})

    async def _put_lab(self, request: web.Request) -> web.Response:
        """Keep the lab file that the controller began with: `parts` are what came of it, `refresh` route servers."""
        body = await request.json()
        try:
            parts = [(str(subject), str(what)) for subject, what in body["parts"]]
            refresh = [str(server) for server in body["refresh"]]
        except (TypeError, KeyError, ValueError):
            remedy = 'Send {"parts": [[subject, what], ...], "refresh": [route server, ...]}.'
            raise InvalidInput("this is not what came of a lab file.", remedy) from None
        self._controller.adopt(parts, refresh)
        return web.json_response({"lab": self._platform.declared.name})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """The event log, a LabEvent a line; with `?follow=1` the answer goes on as events happen."""
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
            InvalidInput: one of them does not exist; a peer goes by its own name, or that of the NIC with its address.
        """
        server, name = self._server(request), request.match_info["peer"]
        azure = self._platform.azure
        peers = {peer.name: peer for peer in self._platform.all_peers(server.name)}
        known = meant(name, (*peers, *azure.nic))
        nic = azure.nic.get(known or "")
        for peer in peers.values():
            if known == peer.name or (nic is not None and (nic.machine, nic.address) == (peer.name, peer.address)):
                return server, peer
        names = ", ".join(peers)
        remedy = (
            f"Its peers are: {names}." if names else "It has none; gateways are its peers while branch-to-branch is on."
        )
        raise InvalidInput(f"route server {server.name} has no peer {name}.", remedy)

    def _server(self, request: web.Request) -> RouteServer:
        servers, name = self._platform.azure.route_server, request.match_info["server"]
        known = meant(name, servers)
        if known is None:
            remedy = f"These are: {', '.join(sorted(servers))}." if servers else "Create it: labkit route-server create"
            raise InvalidInput(f"there is no route server {name}.", remedy)
        return servers[known]

    def _gateway(self, request: web.Request) -> Gateway:
        gateways, name = self._platform.azure.gateway, request.match_info["gateway"]
        if not gateways:
            raise InvalidInput("this lab has no gateways.")
        known = meant(name, gateways)
        if known is None:
            raise InvalidInput(f"there is no gateway {name}.", f"These are: {', '.join(sorted(gateways))}.")
        return gateways[known]


def _destination(request: web.Request) -> IPv4Address:
    text = request.match_info["destination"]
    try:
        return IPv4Address(text)
    except AddressValueError:
        raise InvalidInput(f"{text} is not an IPv4 address.", "Write one such as 10.1.1.4.") from None


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn a refusal into an answer that the command line can show."""
    try:
        return await handler(request)
    except InvalidInput as refusal:
        return web.json_response({"error": refusal.message, "remedy": refusal.remedy}, status=422)
    except EnvironmentProblem as problem:
        return web.json_response({"error": problem.message, "remedy": problem.remedy}, status=507)
    except json.JSONDecodeError as error:
        answer = {"error": f"the body is not JSON: {error}.", "remedy": "docs/api.md has its form."}
        return web.json_response(answer, status=422)
