"""The shape of a lab file: sections, each with its shape from its kind (`labkit.lab.kinds`). Words: `schema_types`.

The models know shapes and words. What names refer to, and whether addresses and ranges fit together, is checked by
`labkit.lab.compile`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, TypeVar, cast

from pydantic import ConfigDict, Field, create_model, model_validator

from labkit.lab.file.schema_types import Part, VariantName
from labkit.lab.file.yaml_source import Path

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Section(Generic[T_co]):
    """A section of the lab file, with entries by name; `T_co` is the type of its value, `annotation` pydantic's for it.

    Attributes:
        key: its key in the file.
        title: what an entry is, in messages.
        description: for editors, and for those who read the JSON Schema.
        empty: makes the value of a file without the section.
        parts: entries of entries that have a name in messages, by their key: `{0}` is the entry's name, `{1}` theirs.
        hints: what to do when a key is missing, by key.
        nullable: whether a section with nothing in it is the same as none.
    """

    key: str
    title: str
    annotation: Any
    description: str
    empty: Callable[[], T_co]
    parts: Mapping[str, str] = field(default_factory=dict)
    hints: Mapping[str, str] = field(default_factory=dict)
    nullable: bool = True

    def subject(self, path: Path) -> tuple[str, Path]:
        """What a path in this section is part of, in words, and the rest of the path within it."""
        match path:
            case (_, name, str(part), int(), inner, *rest) | (_, name, str(part), str(inner), *rest) if (
                part in self.parts
            ):
                return self.parts[part].format(name, inner), tuple(rest)
            case (_, name, *rest):
                return f"{self.title} {name}", tuple(rest)
            case _:
                return "", path


class ListSection(Section[T_co]):
    """A section that is a list: its entries are known by their position."""

    def subject(self, path: Path) -> tuple[str, Path]:
        """See `Section.subject`."""
        match path:
            case (_, int(position), *rest):
                return f"{self.title} {position + 1}", tuple(rest)
            case _:
                return "", path


class SingleSection(Section[T_co]):
    """A section that is one object."""

    def subject(self, path: Path) -> tuple[str, Path]:
        """See `Section.subject`."""
        return (self.title, path[1:]) if self.title else ("", path)


class LabFile(Part):
    """A labkit lab: Azure virtual networks, route servers and appliances, and the world around them."""

    name: Annotated[
        str, Field(json_schema_extra={"pattern": "^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$", "maxLength": 24})
    ]
    """The lab's name."""

    def __getitem__(self, section: Section[T]) -> T:
        """The value of a section."""
        return cast("T", getattr(self, section.key))


class Variant(Part):
    """A patch in the lab file's own shape: mappings merge, null removes, the rest replaces; proofs are added."""

    # What the patch has is checked in the lab that it leads to (labkit.lab.file.variants).
    model_config = ConfigDict(extra="allow")

    description: str = ""
    """What the variant shows, in a sentence."""


VARIANTS: Section[dict[str, Variant]] = Section(
    "variants",
    "variant",
    dict[VariantName, Variant],
    "Variants of this lab by name: labkit up LAB --variant NAME.",
    dict,
)


@dataclass(frozen=True)
class Shape:
    """The whole shape of lab files: the model, and its sections by key."""

    model: type[LabFile]
    sections: Mapping[str, Section[Any]]

    def subject(self, path: Path) -> tuple[str, Path]:
        """What a path is part of, in words, and the rest of the path within it."""
        section = self.sections.get(str(path[0])) if path else None
        return section.subject(path) if section is not None else ("", path)

    def hints(self) -> Mapping[str, str]:
        """What to do when a key is missing, by key."""
        return {key: hint for section in self.sections.values() for key, hint in section.hints.items()}


def shape(sections: Sequence[Section[Any]]) -> Shape:
    """The shape of lab files with these sections, and with variants."""
    found = {section.key: section for section in (*sections, VARIANTS)}
    nullable = {section.key for section in found.values() if section.nullable}

    def empty_sections(_: type[LabFile], value: object) -> object:
        """A section whose entries are all commented out is an empty one."""
        if isinstance(value, dict):
            return {k: v for k, v in value.items() if v is not None or k not in nullable}
        return value

    fields = {
        key: (section.annotation, Field(default_factory=section.empty, description=section.description))
        for key, section in found.items()
    }
    validators = {"empty_sections": model_validator(mode="before")(classmethod(empty_sections))}  # type: ignore[arg-type]
    model = create_model("LabFile", __base__=LabFile, __doc__=LabFile.__doc__, __validators__=validators, **fields)  # type: ignore[call-overload]
    return Shape(model, found)
