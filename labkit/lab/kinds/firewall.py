"""Azure Firewalls, with their rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field
from pydantic.json_schema import JsonSchemaValue, WithJsonSchema

from labkit.azure import model
from labkit.azure.model import Azure, InstanceId, Nic, RuleAction, RuleProtocol
from labkit.azure.model.problem import Code, Problem
from labkit.azure.rules.addressing import FIREWALL_SUBNET, SUBNET_LONGEST, gateway_address
from labkit.azure.rules.firewalls import PRIVATE
from labkit.lab.file.draft import Draft
from labkit.lab.file.references import Reference
from labkit.lab.file.schema import Section
from labkit.lab.file.schema_types import Address, AzureName, NotEmpty, Part, Prefixes, one_or_more
from labkit.lab.file.yaml_source import Path
from labkit.lab.kinds.addresses import Addresses, Assignment, Slot
from labkit.lab.kinds.kind import AzureRefusal, Checking, Given, Kind, at
from labkit.lab.kinds.names import Declared, declared_with_instances
from labkit.lab.kinds.nouns import FIREWALL, FIREWALL_INSTANCE
from labkit.lab.kinds.virtual_network import VIRTUAL_NETWORKS, find_subnet
from labkit.lab.model import Lab
from labkit.lab.plan.addressing import subnet_of
from labkit.lab.plan.common import NET_ADMIN, Planned, environment, nftables, platform_channel, ready, sysctls
from labkit.lab.plan.model import Node, Role
from labkit.lab.plan.nodes import INSTANCES, NIC
from labkit.lab.plan.wires import Wiring

SERVICE = "firewall"
"""What loads the rules of an instance, and answers health probes."""

PROBE_PORT = 8001
"""Where it answers them: TCP."""

_ADDRESSES: Slot[dict[str, tuple[IPv4Address, ...]]] = Slot(dict)
"""The private address of each firewall, then those of its instances."""


def _numbers(value: object) -> object:
    return [str(v) if type(v) is int else v for v in value] if isinstance(value, list) else value


_PORT_SCHEMA: JsonSchemaValue = {"anyOf": [{"type": "integer"}, {"type": "string", "examples": ["8000-8080"]}]}
Ports = Annotated[
    tuple[str, ...],
    BeforeValidator(_numbers),
    BeforeValidator(one_or_more),
    BeforeValidator(lambda value: [value] if type(value) is int else value),
    WithJsonSchema({"anyOf": [_PORT_SCHEMA, {"type": "array", "items": _PORT_SCHEMA}]}),
]

_PROTOCOL_SCHEMA: JsonSchemaValue = {"enum": [each.value for each in RuleProtocol]}
Protocols = Annotated[
    tuple[RuleProtocol, ...],
    BeforeValidator(one_or_more),
    WithJsonSchema({"anyOf": [_PROTOCOL_SCHEMA, {"type": "array", "items": _PROTOCOL_SCHEMA}]}),
]


class Rule(Part):
    """A network rule of a firewall. What it does not name may be anything."""

    action: RuleAction
    """Allow or Deny."""
    sources: Annotated[Prefixes, NotEmpty] = ()
    """Where flows begin."""
    destinations: Annotated[Prefixes, NotEmpty] = ()
    """Where they go."""
    protocols: Annotated[Protocols, NotEmpty] = ()
    """TCP, UDP or ICMP."""
    ports: Annotated[Ports, NotEmpty] = ()
    """Destination ports and ranges of them, such as [22, 8000-8080]."""


class Firewall(Part):
    """An Azure Firewall: two stateful instances in AzureFirewallSubnet behind one private address, a next hop.

    What they forward to public addresses carries their own address.
    """

    virtual_network: Reference
    """The virtual network that has its AzureFirewallSubnet, a /26 or larger."""
    address: Address | None = None
    """Its private address. Default: the first free one of its subnet, which is .4."""
    instances: Annotated[tuple[Address, ...], BeforeValidator(one_or_more), Field(max_length=2)] = ()
    """The addresses of its two instances. Default: the next free ones."""
    rules: list[Rule] = Field(default_factory=list)
    """Network rules: the first that matches a flow decides, and what none matches is denied."""


FIREWALLS: Section[dict[str, Firewall]] = Section(
    "firewalls",
    "firewall",
    dict[AzureName, Firewall],
    "Azure Firewalls by name.",
    dict,
    hints={"action": "Add what it does, action: Allow or action: Deny."},
)


def _ports(draft: Draft, problem: Problem) -> tuple[Path, str]:  # noqa: ARG001
    name, number = problem.subjects
    return ("firewalls", name, "rules", int(number) - 1, "ports"), ""


class FirewallKind(Kind):
    """Azure Firewalls; each instance is a node. The load balancer in front of them is the fabrics' business."""

    section = FIREWALLS
    noun = FIREWALL
    refusals: ClassVar[Mapping[Code, AzureRefusal]] = {
        Code.FIREWALL_SECOND: AzureRefusal("Azure allows one in a virtual network. Remove one.", at("firewalls", 0)),
        Code.FIREWALL_SUBNET: AzureRefusal(
            "Azure refuses it. Add one of /26 to its subnets, such as AzureFirewallSubnet: 10.1.254.0/26.",
            at("firewalls", 0),
            lambda draft, problem: draft.broken(("virtual_networks", problem.subjects[1], "subnets")),
        ),
        Code.FIREWALL_SUBNET_SIZE: AzureRefusal(
            "Azure refuses it. Make it a /26.", at("virtual_networks", 1, "subnets", FIREWALL_SUBNET)
        ),
        Code.FIREWALL_RULE: AzureRefusal("Remove ports, or give ICMP a rule of its own.", _ports),
        Code.FIREWALL_PORT: AzureRefusal("Write 22, or a range such as 8000-8080, between 1 and 65535.", _ports),
    }

    def names(self, draft: Draft) -> Iterator[Declared]:
        """See `Kind`."""
        yield from declared_with_instances(draft, "firewalls", FIREWALL, FIREWALL_INSTANCE)

    def references(self, checking: Checking) -> None:
        """See `Kind`."""
        for name, firewall in checking.draft.file[FIREWALLS].items():
            checking.refer_network(("firewalls", name), f"firewall {name}", firewall.virtual_network)

    def given(self, draft: Draft) -> Iterator[Given]:
        """See `Kind`."""
        for name, firewall in draft.file[FIREWALLS].items():
            place: Path = ("firewalls", name)
            found = find_subnet(draft, f"{firewall.virtual_network}/{FIREWALL_SUBNET}")
            prefix, where = found[2].prefix if found else None, f"{FIREWALL_SUBNET} of {firewall.virtual_network}"
            if firewall.address is not None:
                yield Given(firewall.address, f"firewall {name}", (*place, "address"), prefix, where, azure=True)
            for i, address in enumerate(firewall.instances):
                whose = f"instance {i} of firewall {name}"
                yield Given(address, whose, (*place, "instances", i), prefix, where, azure=True)

    def assign(self, assignment: Assignment) -> None:
        """See `Kind`."""
        addresses = assignment.addresses
        for name, firewall in assignment.draft.file[FIREWALLS].items():
            found = find_subnet(assignment.draft, f"{firewall.virtual_network}/{FIREWALL_SUBNET}")
            if found is None or found[2].prefix.prefixlen > SUBNET_LONGEST:
                continue
            wanted = (firewall.address, *firewall.instances, None, None)[: 1 + len(INSTANCES)]
            mine = tuple(a for w in wanted if (a := w or assignment.usable(found[2].prefix)) is not None)
            if len(mine) < len(wanted):
                path: Path = ("virtual_networks", firewall.virtual_network, "subnets", FIREWALL_SUBNET)
                about = f"{FIREWALL_SUBNET} of {firewall.virtual_network}"
                assignment.full(path, about, found[2].prefix, "Make it a /26.")
                continue
            addresses[_ADDRESSES][name] = mine
            addresses.next_hops.setdefault(name, mine[0])
            for index in INSTANCES:
                node = InstanceId(name, index).node
                addresses.macs[node] = assignment.mac(node)

    def azure(self, draft: Draft, addresses: Addresses, azure: Azure) -> Azure:
        """See `Kind`."""
        found = {n: f for n, f in draft.file[FIREWALLS].items() if f.virtual_network in draft.file[VIRTUAL_NETWORKS]}
        firewalls = tuple(
            model.Firewall(
                name,
                firewall.virtual_network,
                tuple(
                    model.FirewallRule(rule.action, rule.sources, rule.destinations, rule.protocols, rule.ports)
                    for rule in firewall.rules
                ),
            )
            for name, firewall in found.items()
        )
        nics: list[Nic] = []
        balancers: list[model.LoadBalancer] = []
        for name, (frontend, *instances) in addresses[_ADDRESSES].items():
            network = found[name].virtual_network
            nodes = [InstanceId(name, index).node for index in INSTANCES]
            nics += (
                Nic(node, node, NIC, network, FIREWALL_SUBNET, address, addresses.macs[node], ip_forwarding=True)
                for node, address in zip(nodes, instances, strict=True)
            )
            probe = model.Probe(PROBE_PORT)
            balancers.append(model.LoadBalancer(name, network, FIREWALL_SUBNET, frontend, tuple(nodes), probe))
        return replace(
            azure,
            nics=(*azure.nics, *nics),
            load_balancers=(*azure.load_balancers, *balancers),
            firewalls=firewalls,
        )

    def nodes(self, lab: Lab, wiring: Wiring) -> Iterator[Planned]:
        """See `Kind`."""
        for firewall in lab.azure.firewalls:
            for instance in firewall.instance_ids:
                yield _instance(lab, wiring, instance.node)


def _instance(lab: Lab, wiring: Wiring, node: str) -> Planned:
    """An instance of a firewall: whatever it lets through goes out again by its NIC, and the fabric decides."""
    nic = lab.azure.primary_nic(node)
    guard, guard_bind, load = nftables(node, "nftables-firewall.conf.j2", address=nic.address, private=PRIVATE)
    keep, channel = platform_channel(node)
    way_out = f"ip route replace default via {gateway_address(subnet_of(lab.azure, nic))} dev {nic.interface}"
    planned = Node(
        name=node,
        role=Role.FIREWALL,
        services=(SERVICE,),
        env=environment(lab.name, node, LABKIT_PROBE_PORT=str(PROBE_PORT)),
        binds=(channel, guard_bind),
        exec=(load, *wiring.up(node), way_out),
        sysctls=sysctls(forward=True),
        cap_add=NET_ADMIN,
        healthcheck=ready((SERVICE,)),
    )
    return Planned(planned, (keep, guard))
