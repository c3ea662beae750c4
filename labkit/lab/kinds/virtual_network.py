"""Virtual networks and their subnets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Annotated, ClassVar

from pydantic import Field

from labkit.azure import model
from labkit.azure.model.problem import Code
from labkit.azure.rules.addressing import (
    DEDICATED_SUBNETS,
    LARGEST_SPACE,
    ROUTE_SERVER_SUBNET,
    ROUTE_SERVER_SUBNET_ADVISED,
    SUBNET_LONGEST,
    forbidden_address_space,
    wrong_size,
)
from labkit.lab.file.draft import Draft
from labkit.lab.file.references import RouteTableReference
from labkit.lab.file.schema import Section
from labkit.lab.file.schema_types import AzureName, NetworkName, Part, Prefix, Prefixes, ShortPart
from labkit.lab.file.yaml_source import Path
from labkit.lab.kinds.addresses import Addresses
from labkit.lab.kinds.assumptions import ASSUMPTIONS
from labkit.lab.kinds.kind import AzureRefusal, Checking, Kind, Range, at
from labkit.lab.kinds.names import Declared, check_azure_names
from labkit.lab.kinds.nouns import VIRTUAL_NETWORK
from labkit.lab.kinds.route_table import ROUTE_TABLES
from labkit.lab.model import Lab
from labkit.lab.plan.addressing import nic_interfaces
from labkit.lab.plan.common import NET_ADMIN, Planned, environment, interface_up, platform_channel, ready, sysctls
from labkit.lab.plan.model import Node, Role
from labkit.lab.plan.wires import Interfaces, Wire, WireEnd, Wiring, nics, port

_DEDICATED = {name.casefold(): name for name in DEDICATED_SUBNETS}


class Subnet(ShortPart):
    """A subnet: its prefix alone, or the prefix and its route table."""

    prefix: Prefix
    """The subnet's range, inside the virtual network's address space."""
    route_table: RouteTableReference | None = None
    """The route table of the subnet."""


class VirtualNetwork(Part):
    """A virtual network."""

    address_space: Annotated[Prefixes, Field(min_length=1)]
    """The range of the virtual network, or a list of them."""
    subnets: dict[AzureName, Subnet] = Field(default_factory=dict)
    """Subnets by name. A route server needs one called RouteServerSubnet, /26 or larger."""


VIRTUAL_NETWORKS: Section[dict[str, VirtualNetwork]] = Section(
    "virtual_networks",
    "virtual network",
    dict[NetworkName, VirtualNetwork],
    "Virtual networks by name.",
    dict,
    parts={"subnets": 'subnet "{1}" of virtual network {0}'},
    hints={"address_space": "Add its range, such as address_space: 10.1.0.0/16."},
)


def find_subnet(draft: Draft, reference: str) -> tuple[str, str, Subnet] | None:
    """The virtual network, the name and the subnet that `network/subnet` refers to, if it is there and sound."""
    network, _, name = reference.partition("/")
    found = draft.file[VIRTUAL_NETWORKS].get(network)
    subnet = found.subnets.get(name) if found is not None else None
    return (network, name, subnet) if subnet is not None else None


class VirtualNetworkKind(Kind):
    """Virtual networks; one is the node of its switch."""

    section = VIRTUAL_NETWORKS
    noun = VIRTUAL_NETWORK

    def names(self, draft: Draft) -> Iterator[Declared]:
        """See `Kind`."""
        for name in draft.names("virtual_networks"):
            yield Declared(name, VIRTUAL_NETWORK, ("virtual_networks", name))

    def references(self, checking: Checking) -> None:
        """See `Kind`."""
        draft = checking.draft
        for name in draft.names("virtual_networks"):
            place = ("virtual_networks", name, "subnets")
            check_azure_names(draft, place, f'subnet "{{}}" of virtual network {name}', _DEDICATED)
        for network, described in draft.file[VIRTUAL_NETWORKS].items():
            for name, subnet in described.subnets.items():
                if subnet.route_table is not None:
                    path: Path = ("virtual_networks", network, "subnets", name, "route_table")
                    _check_route_table(checking, path, subnet.route_table)

    def ranges(self, draft: Draft) -> Iterator[Range]:
        """See `Kind`."""
        for name, network in draft.file[VIRTUAL_NETWORKS].items():
            place: Path = ("virtual_networks", name, "address_space")
            for i, prefix in enumerate(network.address_space):
                found = Range(prefix, f"virtual network {name}", (*place, i), azure=True)
                _check_space(draft, found)
                yield found
            _check_subnets(draft, name, network)

    def azure(self, draft: Draft, addresses: Addresses, azure: model.Azure) -> model.Azure:  # noqa: ARG002
        """See `Kind`."""
        tables = draft.file[ROUTE_TABLES]
        networks = tuple(
            model.VirtualNetwork(
                name,
                network.address_space,
                tuple(
                    model.Subnet(s, subnet.prefix, subnet.route_table if subnet.route_table in tables else None)
                    for s, subnet in network.subnets.items()
                ),
            )
            for name, network in draft.file[VIRTUAL_NETWORKS].items()
        )
        return replace(azure, virtual_networks=networks)

    refusals: ClassVar[Mapping[Code, AzureRefusal]] = {
        Code.OVERLAP_WITHIN: AzureRefusal(
            "Azure refuses it. Remove or shrink one of them.", at("virtual_networks", 0, "address_space")
        ),
        Code.OVERLAP_PEERED: AzureRefusal(
            "Azure refuses the peering. Move one of the virtual networks, or remove a peering.",
            at("virtual_networks", 0, "address_space"),
        ),
    }

    def wires(self, lab: Lab, interfaces: Interfaces) -> Iterator[Wire]:
        """See `Kind`: those of NICs, and the Internet's leg."""
        for network in lab.azure.virtual_networks:
            for nic in nics(lab, network.name):
                up = interface_up(nic.interface, *nic_interfaces(lab.azure, nic))
                yield Wire(WireEnd(network.name, port(nic)), WireEnd(nic.machine, nic.interface), b_up=up)
            if lab.internet is not None:
                internet = lab.internet.name
                yield Wire(WireEnd(network.name, internet), WireEnd(internet, interfaces.take(internet)))

    def nodes(self, lab: Lab, wiring: Wiring) -> Iterator[Planned]:  # noqa: ARG002
        """See `Kind`."""
        yield from (_switch(lab, network) for network in lab.azure.virtual_networks)


def _check_route_table(checking: Checking, path: Path, name: str) -> None:
    draft = checking.draft
    known = draft.names("route_tables")
    if name in known:
        return
    draft.spoil(path)
    elsewhere = name in checking.names.adrift or name in checking.names.reported
    if not elsewhere and (known or not draft.broken(("route_tables",))):
        text = f'{draft.subject(path)[0]}: there is no route table "{name}"'
        checking.names.note_unknown(
            draft, path, f"route table {name}", text, draft.suggestion(name, known, "route tables")
        )


def _check_space(draft: Draft, space: Range) -> None:
    forbidden = forbidden_address_space(space.prefix)
    size = wrong_size(space.prefix)
    if size is not None:
        text = f"{space.what}: {space.prefix} is too {size}."
        draft.error(space.path, text, f"Azure accepts /{LARGEST_SPACE} to /{SUBNET_LONGEST}.")
    elif forbidden is not None:
        text = f"{space.what}: no virtual network can have addresses in {forbidden}."
        draft.error(space.path, text, "Azure refuses it. Use a private range, such as 10.1.0.0/16.")


def _check_subnets(draft: Draft, name: str, network: VirtualNetwork) -> None:
    subnets = [
        Range(s.prefix, f'subnet "{n}"', ("virtual_networks", name, "subnets", n)) for n, s in network.subnets.items()
    ]
    for item in subnets:
        _check_subnet(draft, name, network, item)
    for one, other in combinations(subnets, 2):
        if one.prefix.overlaps(other.prefix):
            text = f"{other.what} {other.prefix} of virtual network {name} overlaps {one.what} {one.prefix}."
            draft.error(other.path, text, "Azure refuses it. Move or shrink one of them.")


def _check_subnet(draft: Draft, name: str, network: VirtualNetwork, subnet: Range) -> None:
    prefix, about = subnet.prefix, f"{subnet.what} {subnet.prefix}"
    space = network.address_space
    smallest = draft.file[ASSUMPTIONS].route_server_subnet_minimum
    if not any(prefix.subnet_of(s) for s in space) and not draft.broken(("virtual_networks", name, "address_space")):
        text = f"{about} lies outside virtual network {name} ({', '.join(map(str, space))})."
        draft.error(subnet.path, text, "Widen address_space or move the subnet.")
    if subnet.path[-1] == ROUTE_SERVER_SUBNET and prefix.prefixlen > smallest:
        text = f"{about} of virtual network {name} is too small for a route server."
        draft.error(subnet.path, text, f"Azure refuses it. Make it a /{ROUTE_SERVER_SUBNET_ADVISED}.")
    elif subnet.path[-1] == ROUTE_SERVER_SUBNET and prefix.prefixlen > ROUTE_SERVER_SUBNET_ADVISED:
        text = f"{about} of virtual network {name} is smaller than Azure requires today."
        draft.warn(subnet.path, text, f"Older route servers live in one; make it a /{ROUTE_SERVER_SUBNET_ADVISED}.")
    elif prefix.prefixlen > SUBNET_LONGEST:
        text = f"{about} of virtual network {name} is too small."
        draft.error(subnet.path, text, f"Azure keeps five addresses of each. Make it a /{SUBNET_LONGEST} or larger.")


def _switch(lab: Lab, network: model.VirtualNetwork) -> Planned:
    """A virtual network's switch.

    Its bridge comes later and inherits `default`: it answers ARP for every address, which the kernel does only for
    an interface that forwards.
    """
    keep, channel = platform_channel(network.name)
    node = Node(
        name=network.name,
        role=Role.FABRIC,
        services=("fabric",),
        env=environment(lab.name, network.name),
        binds=(channel,),
        sysctls=sysctls(forward=True) | {"net.ipv4.conf.default.proxy_arp_pvlan": "1"},
        cap_add=NET_ADMIN,
        healthcheck=ready(("fabric",)),
    )
    return Planned(node, (keep,))
