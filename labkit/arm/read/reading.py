"""What reading has by now: the resources, names, and what was left out or supplied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from labkit.arm.ids import ResourceId
from labkit.arm.read.fields import Fields
from labkit.arm.resource import Bag, Resource
from labkit.lab.file.yaml_source import Data

NETWORK = "Microsoft.Network"
VIRTUAL_NETWORKS = f"{NETWORK}/virtualNetworks"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What no lab can have: the resource's id, why, and what that means to routing."""

    what: str
    reason: str
    effect: str


@dataclass
class Reading:
    """The resources, and what Azure does not know of them (`labkit.arm.beyond`).

    `remarks` are comments about entries by section and name.
    """

    bag: Bag
    beyond: Mapping[str, Data]
    left_out: list[LeftOut] = field(default_factory=list)
    remarks: dict[tuple[str, str], str] = field(default_factory=dict)
    _names: dict[ResourceId, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Names are those of resources; of several of one type with one name, the later have their group's as well."""
        taken: set[tuple[str, str]] = set()
        for id_ in self.bag:
            name = id_.name if id_.parent is None else "/".join(id_.names)
            if (id_.type, name.casefold()) in taken:
                name = f"{name}-{id_.group}"
            taken.add((id_.type, name.casefold()))
            self._names[id_] = name

    def of_type(self, type_: str) -> Iterator[tuple[str, Resource, Fields]]:
        """The resources of a type of `Microsoft.Network`, each with its name in the lab and its properties."""
        for resource in self.bag.of_type(f"{NETWORK}/{type_}"):
            yield self._names[resource.id], resource, Fields.of(resource)

    def name(self, id_: ResourceId) -> str | None:
        """The name that a resource has in the lab; None if it is not there."""
        return self._names.get(id_)

    def subnet(self, id_: ResourceId) -> tuple[str, str] | None:
        """The virtual network and the subnet of a subnet's id, if both are there."""
        network = self.name(id_.parent) if id_.parent is not None and id_ in self.bag else None
        return (network, self.bag[id_].id.name) if network is not None else None

    def subnet_with(self, address: IPv4Address, name: str = "") -> tuple[str, str] | None:
        """The virtual network and the subnet that an address is in; with `name` one of subnets of this name."""
        for resource in self.bag.of_type(f"{VIRTUAL_NETWORKS}/subnets"):
            if (not name or resource.id.name.casefold() == name.casefold()) and any(
                address in prefix for prefix in subnet_prefixes(Fields.of(resource))
            ):
                return self.subnet(resource.id)
        return None

    def first_of(self, network: str, name: str) -> list[IPv4Address]:
        """The first two addresses that Azure gives out of a subnet of a virtual network."""
        for resource in self.bag.of_type(f"{VIRTUAL_NETWORKS}/subnets"):
            if resource.id.name.casefold() == name.casefold() and self.subnet(resource.id) == (
                network,
                resource.id.name,
            ):
                return [prefix[number] for prefix in subnet_prefixes(Fields.of(resource))[:1] for number in (4, 5)]
        return []

    def known(self, section: str, name: str) -> dict[str, Data]:
        """What Azure does not know of an object."""
        found = self.section(section).get(name)
        return dict(found) if isinstance(found, dict) else {}

    def section(self, section: str) -> dict[str, Data]:
        """What Azure does not know of the objects of a section, by name."""
        found = self.beyond.get(section)
        return found if isinstance(found, dict) else {}

    def leave_out(self, id_: ResourceId, reason: str, effect: str) -> None:
        """Note a resource that no lab can have."""
        self.left_out.append(LeftOut(str(id_), reason, effect))


def subnet_prefixes(fields: Fields) -> list[IPv4Network]:
    """The IPv4 prefixes of a subnet, in either of the two ways in which Azure has them."""
    if fields.has("addressPrefix"):
        return [] if ":" in fields.text("addressPrefix") else [fields.prefix("addressPrefix")]
    return fields.prefixes("addressPrefixes")
