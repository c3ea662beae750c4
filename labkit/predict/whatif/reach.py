"""Where packets would go by effective routes and known announcements: the walker's ways, before and after. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from labkit.azure.forwarding import Disposition
from labkit.lab.model import Lab
from labkit.predict.tables import PredictedTables
from labkit.predict.walk.routing import RoutingTables
from labkit.predict.walk.steps import EndStep, RouterStep, Walk
from labkit.predict.walk.walker import Walker
from labkit.predict.whatif.model import Side
from labkit.predict.whatif.ways import Way, ended


@dataclass(frozen=True, slots=True)
class PairChange:
    """Packets from a node to another would take other ways; of several ways, flows are shared among them."""

    source: str
    target: str
    before: tuple[Way, ...]
    after: tuple[Way, ...]


def reach_changes(lab: Lab, before: Side, after: Side) -> tuple[PairChange, ...]:
    """The pairs of machines, appliances and sites' hosts whose ways change, in the order of the lab."""
    one, other = predicted(lab, before), predicted(lab, after)
    return tuple(
        PairChange(source, target, was, will)
        for source in sources(lab)
        for target, address in targets(lab).items()
        if target != source
        for was, will in ((one.ways(source, address), other.ways(source, address)),)
        if was != will
    )


def sources(lab: Lab) -> list[str]:
    """Whose packets are followed: machines, their NICs after the first, appliances and sites' hosts."""
    return [*(name for name, _ in _machines(lab)), *lab.nva, *(site.host.name for site in lab.sites)]


def targets(lab: Lab) -> dict[str, IPv4Address]:
    """Where they go: the same, and the Internet."""
    found = dict(_machines(lab)) | {name: lab.azure.primary_nic(name).address for name in lab.nva}
    found |= {site.host.name: site.host.address.ip for site in lab.sites}
    return found | ({lab.internet.name: lab.internet.host} if lab.internet is not None else {})


def _machines(lab: Lab) -> Iterator[tuple[str, IPv4Address]]:
    """Machines, which choose the NIC by which a packet leaves, and their further NICs, with their addresses."""
    for vm in lab.virtual_machines:
        primary, *further = lab.azure.nics_of(vm.name)
        yield vm.name, primary.address
        yield from ((nic.name, nic.address) for nic in further)


class Reach:
    """How packets end by some tables, in a few words."""

    def __init__(self, lab: Lab, tables: RoutingTables) -> None:
        self._walker = Walker(lab, tables)
        self._nic = lab.azure.nic
        gateways = (i for gateway in lab.azure.gateways for i in gateway.instance_ids)
        firewalls = (i for firewall in lab.azure.firewalls for i in firewall.instance_ids)
        self._instances: Mapping[str, str] = {i.node: i.name for i in (*gateways, *firewalls)}
        only_router = (site for site in lab.sites if len(site.routers) == 1)
        self._gateway_of = {site.host.name: site.gateway.name for site in only_router}

    def ways(self, source: str, target: IPv4Address) -> tuple[Way, ...]:
        """How packets from a node or a NIC to an address end; each way once, in a stable order."""
        nic = self._nic.get(source)
        node, own = (source, None) if nic is None or nic.machine == source else (nic.machine, nic.address)
        return tuple(sorted({self._way(walk) for walk in self._walker.walks(node, target, own)}))

    def _way(self, walk: Walk) -> Way:
        last = walk.steps[-1]
        at, why = ended(last)
        at = self._instances.get(at, at) if walk.disposition is Disposition.DENIED else at
        admits = {step.node: step.admits for step in walk.steps if isinstance(step, RouterStep) and step.admits}
        through = list(walk.nodes)
        if isinstance(last, EndStep):
            through = through[:-1]
            if last.node in self._gateway_of and through[-1:] == [self._gateway_of[last.node]]:
                through = through[:-1]
        if through[:1] == [self._gateway_of.get(walk.source)]:
            through = through[1:]
        return Way(walk.disposition, self._named(through, admits), at, why)

    def _named(self, through: Iterable[str], admits: Mapping[str, str]) -> tuple[str, ...]:
        """Nodes on the way with gateways and firewalls for their instances: which of them it is makes no difference.

        A firewall that does not let through everything has what it does.
        """
        named = ((self._instances.get(node, node), admits.get(node)) for node in through)
        return tuple(dict.fromkeys(f"{name} ({only})" if only else name for name, only in named))


def predicted(lab: Lab, side: Side) -> Reach:
    """How packets end by one side of a prediction."""
    return Reach(lab, PredictedTables(lab, side.speakers, side.routers))
