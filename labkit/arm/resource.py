"""ARM resources as values, and bags of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from labkit.arm.ids import ResourceId

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""A value of JSON."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource without its children, which are resources of their own.

    `properties` are those of ARM's body, by ARM's names and without nulls; parts that are no resources, such as a NIC's
    `ipConfigurations`, are within it, each with `properties` of its own. `extra` has what else is at the top level:
    `sku`, `zones`, `kind`.
    """

    id: ResourceId
    location: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, Json] = field(default_factory=dict)
    extra: Mapping[str, Json] = field(default_factory=dict)


class Bag(Mapping[ResourceId, Resource]):
    """Resources by id, in the order in which they were added. `with_` and `without` make another bag."""

    def __init__(self, resources: Iterable[Resource] = ()) -> None:
        self._resources = {resource.id: resource for resource in resources}

    def __getitem__(self, key: ResourceId) -> Resource:
        return self._resources[key]

    def __iter__(self) -> Iterator[ResourceId]:
        return iter(self._resources)

    def __len__(self) -> int:
        return len(self._resources)

    def of_type(self, type_: str) -> tuple[Resource, ...]:
        """The resources of a type such as `Microsoft.Network/virtualNetworks`, in Azure's spelling."""
        return self._by_type.get(type_, ())

    def children_of(self, parent: ResourceId, kind: str) -> tuple[Resource, ...]:
        """The children of a resource, `kind` being the last segment of their type."""
        return self._by_parent.get((parent, kind), ())

    def with_(self, *resources: Resource) -> Bag:
        """The bag with these; one of the same id takes the place of the one before. Children stay."""
        return Bag([*self.values(), *resources])

    def without(self, gone: ResourceId) -> Bag:
        """The bag without this resource and what is below it."""
        below = f"{gone}/".lower()
        return Bag(r for r in self.values() if r.id != gone and not str(r.id).lower().startswith(below))

    @cached_property
    def _by_type(self) -> Mapping[str, tuple[Resource, ...]]:
        found: dict[str, list[Resource]] = {}
        for resource in self.values():
            found.setdefault(resource.id.type, []).append(resource)
        return {type_: tuple(resources) for type_, resources in found.items()}

    @cached_property
    def _by_parent(self) -> Mapping[tuple[ResourceId, str], tuple[Resource, ...]]:
        found: dict[tuple[ResourceId, str], list[Resource]] = {}
        for resource in self.values():
            parent = resource.id.parent
            if parent is not None:
                found.setdefault((parent, resource.id.type.rpartition("/")[2]), []).append(resource)
        return {key: tuple(resources) for key, resources in found.items()}
