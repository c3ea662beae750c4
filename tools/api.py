"""Write docs/api.md: the controller's API, from its routes, the types of what it shows, and the changes it takes.

Usage: python tools/api.py   (after a change of labkit/controller/api.py, labkit/controller/objects.py or azure/changes)
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints
from unittest.mock import create_autospec

from pydantic.alias_generators import to_camel

from labkit.azure.changes.base import Change
from labkit.azure.changes.registry import CHANGES
from labkit.azure.rules import rows
from labkit.controller import objects
from labkit.controller.api import Api
from labkit.controller.controller import Controller

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "api.md"
COMMAND = ".venv/bin/python tools/api.py"

SHAPES = (
    objects.RouteServerJson,
    objects.PeerJson,
    objects.VirtualNetworkJson,
    objects.SubnetJson,
    objects.PeeringJson,
    objects.RouteTableJson,
    objects.RouteJson,
    rows.EffectiveRow,
    rows.LearnedRow,
    rows.AdvertisedRow,
)
"""What the API shows in Azure's own form."""

_HEAD = f"""\
<!-- Made by `{COMMAND}` from the code; do not edit. -->

# The controller's API

Each lab's controller serves HTTP on a Unix socket, `/run/labkit-api.sock` in the node `controller`; the verbs of
`labkit` reach it through the lab's runtime. Bodies are JSON. Where Azure has an object, its fields have the names that
`az` prints. What is refused is answered with status 422 and `{{"error": ..., "remedy": ...}}`, and nothing is changed.

The API changes a lab in one way: `POST /v1/changes` takes a list of changes and carries out all of them, or none. Azure
judges what they make together, so that the order of those that need each other does not matter. `GET /v1/changes` gives
the changes that make the lab as it is of what its file has, in the same form: `labkit changes --format json` prints
them, and `labkit apply` sends such a list. `labkit whatif` predicts what changes would do, and sends nothing.
"""


def page() -> str:
    """The page."""
    return "\n".join([_HEAD, *_requests(), *_changes(), *_shapes()])


def _requests() -> Iterator[str]:
    yield "## Requests\n\n| request | answer |\n| --- | --- |"
    controller = create_autospec(Controller, instance=True)
    controller.platform = None
    for route in Api(controller).application.router.routes():
        if route.method == "HEAD":
            continue
        assert route.resource is not None, route
        text = " ".join((inspect.getdoc(route.handler) or "").split())
        assert text, f"{route.handler} has no docstring"
        yield f"| `{route.method} {route.resource.canonical}` | {text} |"
    yield ""


def _changes() -> Iterator[str]:
    yield "## Changes\n\nA change is an object whose key `change` has one of these names; a field that may be left out"
    yield "leaves the setting as it is, or at Azure's default.\n"
    for change in CHANGES:
        yield f"### {change.__name__}\n\n{_text(change)}\n\n| field | type | |\n| --- | --- | --- |"
        schema: dict[str, Any] = change.schema()
        for name, field in schema["properties"].items():
            required = "" if name in schema.get("required", ()) else "may be left out"
            yield f"| `{name}` | {_type(field, schema.get('$defs', {}))} | {required} |"
        yield ""


def _text(change: type[Change]) -> str:
    text = inspect.getdoc(change) or ""
    for field in fields(change):  # type: ignore[arg-type]  # every change is a dataclass, which no base class can state
        text = text.replace(f"`{field.name}`", f"`{to_camel(field.name)}`")
    return text


def _type(field: dict[str, Any], known: dict[str, Any]) -> str:
    """A field's type in words, by its JSON schema."""
    if "$ref" in field:
        return _type(known[field["$ref"].rpartition("/")[2]], known)
    if "anyOf" in field:
        return " or ".join(_type(each, known) for each in field["anyOf"] if each.get("type") != "null")
    if "enum" in field:
        return " or ".join(f"`{json.dumps(value)}`" for value in field["enum"])
    if field["type"] == "array":
        items = field.get("items") or field["prefixItems"][0]
        count = f"{field['maxItems']} " if field.get("maxItems") else ""
        return f"list of {count}{_type(items, known)}"
    formats = {"ipv4": "IPv4 address", "ipv4network": "IPv4 prefix"}
    return formats.get(field.get("format", ""), str(field["type"]))


def _shapes() -> Iterator[str]:
    yield "## Shapes\n"
    for shape in SHAPES:
        yield f"### {_name(shape)}\n\n{inspect.getdoc(shape)}\n\n| field | type |\n| --- | --- |"
        for field, annotation in get_type_hints(shape).items():
            yield f"| `{field}` | {_annotation(annotation)} |"
        yield ""


def _name(shape: type) -> str:
    return shape.__name__.removesuffix("Json")


def _annotation(annotation: Any) -> str:
    """A type of Python as JSON has it."""
    if annotation in SHAPES:
        return _name(annotation)
    names: dict[Any, str] = {str: "string", int: "integer", bool: "boolean", type(None): "null"}
    if annotation in names:
        return names[annotation]
    if getattr(annotation, "__origin__", None) is list:
        return f"list of {_annotation(annotation.__args__[0])}"
    return " or ".join(_annotation(each) for each in annotation.__args__)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
