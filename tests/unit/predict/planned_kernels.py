"""Kernels' routing tables as the plan's commands, FRR's configuration and a converged network make them: no lab runs.

It takes nothing from `labkit.predict.tables`, which has the same by other means: a route's device and next hops follow
here from interfaces' addresses, as in a kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

from labkit.azure.model import EffectiveRoute, Nic
from labkit.azure.rules.circuits import best_in_circuit
from labkit.azure.rules.effective import active, lookup
from labkit.azure.rules.gateway_policy import PathSource, used_at_gateway
from labkit.feed.state import PlatformState
from labkit.feed.status import UP, BackendStatus, PlatformStatus
from labkit.lab.build import plan
from labkit.lab.model import Lab
from labkit.lab.plan.model import Role
from labkit.lab.plan.probes import answers_probes
from labkit.names import handle
from labkit.operate.look.client import LabClient
from labkit.operate.look.kernel import KernelHop
from labkit.operate.look.live_state import LiveState
from labkit.operate.records.record import Record
from labkit.operate.trace.tables import AGENT, NO_ROUTE, KernelRoute, ObservedTables
from labkit.predict.converge import ConvergedNetwork
from labkit.render.render import render
from labkit.runtimes.select import SANDBOX

_WITHOUT_BGP = (PathSource.VIRTUAL_NETWORK, PathSource.STATIC, PathSource.NEIGHBOUR)
ADDRESS = re.compile(r"ip address replace (\S+)(?: peer (\S+))? dev (\S+)")
ROUTE = re.compile(r"ip route replace (\S+)(?: via (\S+))? dev (\S+)(?: onlink)?")
RULE = re.compile(r"ip rule add priority \d+ from (\S+) lookup .*")
INBOUND = re.compile(r"ip route replace default via (\S+) dev (\S+) table \d+ proto static")
STATIC = {
    "frr.conf": re.compile(r"^ip route (\S+) (\S+)$", re.MULTILINE),
    "bird.conf": re.compile(r"^ *route (\S+) via (\S+) [{] igp_metric", re.MULTILINE),
}


class NotRunning(LiveState):
    """A lab that does not run; every backend of a load balancer is up that can be."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab, LabClient(Record(lab.name, SANDBOX, "", "", 0.0)))

    @property
    def state(self) -> PlatformState:
        azure = self.lab.azure
        backends = tuple(
            BackendStatus(balancer.name, balancer.address, nic.name, nic.address, UP if answers else "Down", "")
            for balancer in azure.load_balancers
            for nic in (azure.nic[backend] for backend in balancer.backends)
            for answers in (answers_probes(self.lab, nic),)
        )
        return PlatformState(azure, (), PlatformStatus(self.lab.name, backends=backends), {}, {}, {}, {}, {})

    @property
    def off(self) -> frozenset[str]:
        return frozenset()


class PlannedTables(ObservedTables):
    """The tables that a converged lab has in its nodes."""

    def __init__(self, lab: Lab, network: ConvergedNetwork, folder: Path) -> None:
        super().__init__(NotRunning(lab))
        self._lab, self._network, self._folder = lab, network, folder
        self._plan = plan(lab)
        render(self._plan, folder, image="labkit/node:golden", lab_file=b"")
        self._read: dict[str, list[KernelRoute]] = {}

    def row(self, nic: str, destination: IPv4Address) -> EffectiveRoute | None:
        return lookup(self._network.speakers.effective_routes[nic], destination)

    def _kernel(
        self, node: str, destination: IPv4Address, source: IPv4Address | None, inbound: bool = False
    ) -> KernelRoute:
        if inbound:
            (found,) = (match for command in self._nodes[node].exec if (match := INBOUND.fullmatch(command)))
            return KernelRoute("unicast", "0.0.0.0/0", (KernelHop(found[2], IPv4Address(found[1])),), "static")
        rules = (RULE.fullmatch(command) for command in self._nodes[node].exec)
        if source is not None and any(rule is not None and rule[1] == str(source) for rule in rules):
            nic = next(nic for nic in self.azure.nics_of(node) if nic.address == source)
            return longest([*self._of_agent(nic)], destination)
        if node not in self._read:
            self._read[node] = [*self._without_bgp(node)]
            self._read[node] += [*self._learned(node)]
        return longest(self._read[node], destination)

    @cached_property
    def _nodes(self) -> dict[str, Any]:
        return {node.name: node for node in self._plan.nodes}

    def _without_bgp(self, node: str) -> Iterator[KernelRoute]:
        """What a node's commands and its static routes make; what is connected comes first."""
        connected = []
        for command in self._nodes[node].exec:
            if found := ADDRESS.fullmatch(command):
                own, peer, device = found.groups()
                prefix = IPv4Network(peer) if peer else IPv4Interface(own).network
                connected.append(KernelRoute("unicast", str(prefix), (KernelHop(device),), "kernel"))
            elif found := ROUTE.fullmatch(command):
                to, via, device = found.groups()
                hop = KernelHop(device, IPv4Address(via) if via else None)
                connected.append(KernelRoute("unicast", str(network(to)), (hop,)))
        yield from connected
        for file, form in STATIC.items():
            conf = self._folder / "nodes" / handle(node) / file
            for prefix, via in form.findall(conf.read_text()) if conf.exists() else ():
                if via == "reject":
                    yield KernelRoute("unreachable", prefix, protocol="static")
                else:
                    yield resolved(connected, prefix, [IPv4Address(via)], "static")

    def _learned(self, node: str) -> Iterator[KernelRoute]:
        """What an agent or FRR adds."""
        known, speakers, routers = self._read[node], self._network.speakers, self._network.routers
        if self._nodes[node].role is Role.VM:
            yield from self._of_agent(self.azure.primary_nic(node))
        for gateway in self.azure.gateways:
            for instance in gateway.instance_ids:
                for prefix, paths in speakers.at_gateway[instance].items() if instance.node == node else ():
                    used = used_at_gateway(gateway, paths)
                    if used[0].source not in _WITHOUT_BGP:
                        yield resolved(known, str(prefix), [path.attributes.next_hop for path in used], "bgp")
        for prefix, of_circuit in speakers.at_edge.get(node, {}).items():
            yield resolved(known, str(prefix), [path.address for path in best_in_circuit(of_circuit)], "bgp")
        for prefix, chosen in routers.loc_rib.get(node, {}).items():
            received = routers.adj_rib_in[node]
            if chosen.sessions:
                hops = [received[session][prefix].next_hop for session in chosen.sessions]
                yield resolved(known, str(prefix), hops, "bgp")

    def _of_agent(self, nic: Nic) -> Iterator[KernelRoute]:
        for row in active(self._network.speakers.effective_routes[nic.name]):
            yield KernelRoute("unicast", str(row.prefix), (KernelHop(nic.interface),), AGENT)


def network(text: str) -> IPv4Network:
    return IPv4Network("0.0.0.0/0" if text == "default" else text)


def longest(routes: list[KernelRoute], destination: IPv4Address) -> KernelRoute:
    """The route of the longest prefix, and of equal ones the first."""
    found = [route for route in routes if destination in IPv4Network(route.prefix)]
    return max(found, key=lambda route: IPv4Network(route.prefix).prefixlen, default=KernelRoute(NO_ROUTE))


def resolved(routes: list[KernelRoute], prefix: str, hops: list[IPv4Address], protocol: str) -> KernelRoute:
    """A route to next hops that other routes lead to."""
    ways = [(hop, by) for hop in hops for by in longest(routes, hop).hops]
    found = (by if by.gateway is not None else replace(by, gateway=hop) for hop, by in ways)
    return KernelRoute("unicast", prefix, tuple(dict.fromkeys(found)), protocol)
