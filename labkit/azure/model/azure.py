"""Everything of a lab that Azure would know, in one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from labkit.azure.model.appliances import Appliance
from labkit.azure.model.firewalls import Firewall
from labkit.azure.model.gateways import Circuit, Connection, Gateway, LocalNetworkGateway
from labkit.azure.model.load_balancers import LoadBalancer
from labkit.azure.model.networks import Nic, Peering, ReservedBlocks, RouteTable, VirtualNetwork
from labkit.azure.model.route_servers import RouteServer


@dataclass(frozen=True)
class Azure:
    """Everything of a lab that Azure itself would know, and what its appliances advertise; the input of every rule.

    Objects are held in tuples in the order of the lab file and found by name through the mappings. `reserved_blocks` is
    what is assumed of all virtual networks.
    """

    virtual_networks: tuple[VirtualNetwork, ...]
    peerings: tuple[Peering, ...] = ()
    route_tables: tuple[RouteTable, ...] = ()
    nics: tuple[Nic, ...] = ()
    route_servers: tuple[RouteServer, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    circuits: tuple[Circuit, ...] = ()
    local_network_gateways: tuple[LocalNetworkGateway, ...] = ()
    connections: tuple[Connection, ...] = ()
    load_balancers: tuple[LoadBalancer, ...] = ()
    firewalls: tuple[Firewall, ...] = ()
    appliances: tuple[Appliance, ...] = ()
    reserved_blocks: ReservedBlocks = ReservedBlocks.TODAY

    @cached_property
    def virtual_network(self) -> Mapping[str, VirtualNetwork]:
        """Virtual networks by name."""
        return {v.name: v for v in self.virtual_networks}

    @cached_property
    def route_table(self) -> Mapping[str, RouteTable]:
        """Route tables by name."""
        return {t.name: t for t in self.route_tables}

    @cached_property
    def nic(self) -> Mapping[str, Nic]:
        """NICs by name."""
        return {n.name: n for n in self.nics}

    def nics_of(self, machine: str) -> tuple[Nic, ...]:
        """The NICs of a machine: of an NVA, a virtual machine, or a gateway's instance by `InstanceId.node`.

        The first is the primary one, by whose address the machine is known. None for a name that is no machine's.
        """
        return self._nics_by_machine.get(machine, ())

    def primary_nic(self, machine: str) -> Nic:
        """The first NIC of a machine.

        Raises:
            KeyError: there is no machine of this name.
        """
        return self._nics_by_machine[machine][0]

    def find_nic(self, name: str) -> Nic:
        """The NIC of this name, or the primary one of the machine of this name.

        Raises:
            KeyError: there is neither.
        """
        return self.nic.get(name) or self.primary_nic(name)

    @cached_property
    def _nics_by_machine(self) -> Mapping[str, tuple[Nic, ...]]:
        found: dict[str, tuple[Nic, ...]] = {}
        for nic in self.nics:
            found[nic.machine] = (*found.get(nic.machine, ()), nic)
        return found

    @cached_property
    def route_server(self) -> Mapping[str, RouteServer]:
        """Route servers by name."""
        return {r.name: r for r in self.route_servers}

    @cached_property
    def gateway(self) -> Mapping[str, Gateway]:
        """Gateways by name."""
        return {g.name: g for g in self.gateways}

    @cached_property
    def circuit(self) -> Mapping[str, Circuit]:
        """ExpressRoute circuits by name."""
        return {c.name: c for c in self.circuits}

    @cached_property
    def edge_router(self) -> Mapping[str, Circuit]:
        """ExpressRoute circuits by the names of their edge routers."""
        return {router: c for c in self.circuits for router in c.edge_routers}

    @cached_property
    def local_network_gateway(self) -> Mapping[str, LocalNetworkGateway]:
        """Local network gateways by name."""
        return {g.name: g for g in self.local_network_gateways}

    @cached_property
    def load_balancer(self) -> Mapping[str, LoadBalancer]:
        """Load balancers by name."""
        return {b.name: b for b in self.load_balancers}

    @cached_property
    def firewall(self) -> Mapping[str, Firewall]:
        """Azure Firewalls by name."""
        return {f.name: f for f in self.firewalls}

    @cached_property
    def appliance(self) -> Mapping[str, Appliance]:
        """What NVAs advertise, by their names."""
        return {a.name: a for a in self.appliances}

    def peered_with(self, nva: str) -> tuple[str, ...]:
        """The route servers that have a peer of this name."""
        return tuple(s.name for s in self.route_servers if any(peer.name == nva for peer in s.peers))
