"""What every change is: a value that makes one model of another, and its form in JSON."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import ClassVar, Self, TypeAlias

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from labkit.azure.model import Azure
from labkit.errors import InvalidInput

Json: TypeAlias = "str | int | bool | Sequence[Json] | dict[str, Json] | None"
"""A value as `json` has it."""

UNCHANGED = "no change"
"""What a change does that leaves everything as it is."""


class Change(ABC):
    """A change of Azure's objects. Subclasses are frozen dataclasses whose fields have Azure's names.

    A field that is None is left out of the JSON and leaves the object's setting as it is; so is what has its default.

    Attributes:
        kind: the kind of the object that it changes, for the event log.
        never_refused: whether Azure carries it out whatever is left in the air by it, as it does deletions.
    """

    __slots__ = ()
    __pydantic_config__ = ConfigDict(alias_generator=to_camel, extra="forbid")

    kind: ClassVar[str]
    never_refused: ClassVar[bool] = False

    @property
    @abstractmethod
    def subject(self) -> str:
        """The name of the object that it changes."""

    @property
    def part(self) -> str:
        """What of the object it changes: a peer, a route. Empty for the object's own settings."""
        return ""

    @abstractmethod
    def apply(self, azure: Azure) -> Azure:
        """The model with the change.

        Raises:
            InvalidInput: what it changes does not exist, or a value is not valid for Azure.
        """

    @abstractmethod
    def describe(self, azure: Azure) -> str:
        """What it does to its subject, in a few words, given the model before it.

        Raises:
            InvalidInput: what it changes does not exist.
        """

    def to_json(self) -> dict[str, Json]:
        """The change as JSON: `change` names the class, the other keys are its fields in Azure's camelCase."""
        fields: dict[str, Json] = _adapter(type(self)).dump_python(
            self, mode="json", by_alias=True, exclude_defaults=True
        )
        return {"change": type(self).__name__, **fields}

    @classmethod
    def from_json(cls, fields: dict[str, Json]) -> Self:
        """The change of this class with these fields, `change` left out.

        Raises:
            InvalidInput: a field is missing, unknown or not valid.
        """
        try:
            found = _adapter(cls).validate_json(json.dumps(fields), strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, (cls.__name__, *first["loc"])))
            names = ", ".join(cls.schema()["properties"])
            raise InvalidInput(f"{where}: {_lower(first['msg'])}.", f"Fields of {cls.__name__}: {names}.") from None
        assert isinstance(found, cls)
        return found

    @classmethod
    def schema(cls) -> dict[str, dict[str, dict[str, object]]]:
        """The JSON schema of its fields."""
        return _adapter(cls).json_schema(by_alias=True)


@cache
def _adapter(cls: type[Change]) -> TypeAdapter[Change]:
    return TypeAdapter(cls)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def step(before: object, after: object) -> str:
    """A setting before and after, as people write it."""
    return f"{before} → {after}"


def switch(*, on: bool) -> str:
    """A setting that is on or off."""
    return "on" if on else "off"


def named(what: str, name: str, known: Iterable[str], remedy: Callable[[str], str] | None = None) -> None:
    """Check that `name` is one of the `known` objects of a kind: `what`, such as "route server".

    The remedy is made of the known names, as a list in words; by default it is that list.

    Raises:
        InvalidInput: there is not.
    """
    names = list(known)
    if name not in names:
        listing = ", ".join(names) or "none"
        raise InvalidInput(
            f"there is no {what} {name}.", remedy(listing) if remedy else f"The lab's {what}s: {listing}."
        )
