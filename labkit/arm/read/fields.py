"""Properties of a resource, each of the type that it must have, or an error with its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from labkit.arm.ids import ResourceId
from labkit.arm.resource import Json, Resource
from labkit.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Fields:
    """Properties, and where they are, for messages."""

    values: Mapping[str, Json]
    where: str

    @classmethod
    def of(cls, resource: Resource) -> Fields:
        """Those of a resource."""
        return cls(resource.properties, str(resource.id))

    def wrong(self, key: str, wanted: str) -> InvalidInput:
        """The error that a value is not what it must be."""
        shown = repr(self.values.get(key))
        return InvalidInput(
            f"{self.where}: {key} must be {wanted}, and is {shown[:80]}", "Export the resource once more with az."
        )

    def has(self, key: str) -> bool:
        """Whether there is such a property."""
        return key in self.values

    def text(self, key: str) -> str:
        """A text that must be there."""
        value = self.values.get(key)
        if not isinstance(value, str) or not value:
            raise self.wrong(key, "a text")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def number(self, key: str, default: int | None = None) -> int:
        """A whole number."""
        value = self.values.get(key, default)
        if type(value) is not int:
            raise self.wrong(key, "a whole number")
        return value

    def prefix(self, key: str) -> IPv4Network:
        """An IPv4 prefix."""
        try:
            return IPv4Network(self.text(key))
        except ValueError:
            raise self.wrong(key, "an IPv4 prefix") from None

    def address(self, key: str) -> IPv4Address:
        """An IPv4 address."""
        try:
            return IPv4Address(self.text(key))
        except ValueError:
            raise self.wrong(key, "an IPv4 address") from None

    def texts(self, key: str) -> list[str]:
        """A list of texts; empty if there is none."""
        value = self.values.get(key, [])
        if not isinstance(value, list):
            raise self.wrong(key, "a list")
        texts = [item for item in value if isinstance(item, str)]
        if len(texts) != len(value):
            raise self.wrong(key, "a list of texts")
        return texts

    def prefixes(self, key: str) -> list[IPv4Network]:
        """The IPv4 prefixes of a list; those of IPv6 are left out."""
        try:
            return [IPv4Network(text) for text in self.texts(key) if ":" not in text]
        except ValueError:
            raise self.wrong(key, "a list of prefixes") from None

    def addresses(self, key: str) -> list[IPv4Address]:
        """A list of IPv4 addresses; empty if there is none."""
        try:
            return [IPv4Address(text) for text in self.texts(key)]
        except ValueError:
            raise self.wrong(key, "a list of addresses") from None

    def part(self, key: str) -> Fields:
        """An object within; an empty one if there is none."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, "an object")
        return Fields(value, f"{self.where}: {key}")

    def parts(self, key: str) -> Iterator[Fields]:
        """The objects of a list; those that have properties by their own."""
        value = self.values.get(key, [])
        if not isinstance(value, list):
            raise self.wrong(key, "a list")
        for index, item in enumerate(value):
            where = f"{self.where}: {key}[{index}]"
            if not isinstance(item, dict):
                raise self.wrong(key, "a list of objects")
            properties = item.get("properties", item)
            if not isinstance(properties, dict):
                raise self.wrong(key, "a list of objects with properties")
            yield Fields({**properties, **{k: v for k, v in item.items() if k in {"id", "name"}}}, where)

    def reference(self, key: str) -> ResourceId | None:
        """The resource that an object refers to by its id; None if it is not there."""
        if key not in self.values:
            return None
        return ResourceId.parse(self.part(key).text("id"))

    def required(self, key: str) -> ResourceId:
        """The resource that an object must refer to."""
        found = self.reference(key)
        if found is None:
            raise self.wrong(key, "a reference to a resource")
        return found
