"""Write docs/api.md: the controller's API, from its routes, the types of what it shows, and the changes it takes.

Usage: python tools/api.py   (after a change of what it imports)
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints
from unittest.mock import create_autospec

from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue

from labkit.azure.changes.base import Change
from labkit.azure.changes.registry import CHANGES
from labkit.azure.model import Azure, BgpPeer, EffectiveRoute, InstanceId, LearnedRoute, PathAttributes
from labkit.azure.rules import rows
from labkit.azure.rules.decision import Decision
from labkit.controller import gateway_views, objects
from labkit.controller.api import Api
from labkit.controller.controller import Controller
from labkit.feed import bgp, state, status, tables
from labkit.lab.sessions import BgpSession, SessionEnd

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "api.md"
COMMAND = ".venv/bin/python tools/api.py"

SHAPES: tuple[type, ...] = (
    objects.RouteServerJson,
    objects.PeerJson,
    objects.VirtualNetworkJson,
    objects.SubnetJson,
    objects.PeeringJson,
    objects.GatewayJson,
    objects.ConnectionJson,
    objects.AuthorizationJson,
    objects.RouteTableJson,
    objects.RouteJson,
    rows.EffectiveRow,
    rows.LearnedRow,
    rows.AdvertisedRow,
    rows.EffectiveTable,
    rows.LearnedTable,
    gateway_views.BgpPeerRow,
    gateway_views.GatewayAdvertisedRow,
)
"""What the API shows in Azure's own form."""

OWN_SHAPES: tuple[type, ...] = (
    status.PlatformStatus,
    status.NodeFeed,
    status.InstanceStatus,
    status.RouteServerSession,
    status.GatewaySession,
    BgpSession,
    SessionEnd,
    status.BackendStatus,
    status.LabEvent,
    state.PlatformState,
    tables.ForwardingTable,
    tables.NextHops,
    state.PlatformModel,
    state.PeerRibs,
    bgp.RouteGroup,
    PathAttributes,
    Decision,
    EffectiveRoute,
    LearnedRoute,
    BgpPeer,
    InstanceId,
)
"""What the API shows that Azure does not, or not so: `labkit.feed.codec` makes JSON of it."""

_HEAD = f"""\
<!-- Made by `{COMMAND}` from the code; do not edit. -->

# The controller's API

Each lab's controller serves HTTP on a Unix socket, `/run/labkit-api.sock` in the node `controller`; the verbs of
`labkit` reach it through the lab's runtime. Bodies are JSON. Where Azure has an object, its fields have the names that
`az` prints. What is refused is answered with status 422 and `{{"error": ..., "remedy": ...}}`, and nothing is
changed; without room on the disk to keep a change the status is 507. Names of objects are
taken in any case, and handles in place of them; answers have them as the lab file has them ([names](names.md)).

The API changes a lab in one way: `POST /v1/changes` takes a list of changes and carries out all of them, or none. Azure
judges what they make together, so that the order of those that need each other does not matter. `GET /v1/changes` gives
the changes that turn what the lab's file has into the lab as it is, in the same form: `labkit changes --format json`
prints them, and `labkit apply` sends such a list. `labkit whatif` predicts what changes would do, and sends nothing.
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
        schema: JsonSchemaValue = change.schema()
        for name, field in schema["properties"].items():
            required = "" if name in schema.get("required", ()) else "may be left out"
            yield f"| `{name}` | {_type(field, schema.get('$defs', {}))} | {required} |"
        yield ""


def _text(change: type[Change]) -> str:
    text = inspect.getdoc(change) or ""
    for field in fields(change):  # type: ignore[arg-type]  # every change is a dataclass, which no base class can state
        text = text.replace(f"`{field.name}`", f"`{to_camel(field.name)}`")
    return text


def _type(field: JsonSchemaValue, known: JsonSchemaValue) -> str:
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
    yield "## Azure's shapes\n"
    for shape in SHAPES:
        yield from _shape(shape)
    yield "## Other shapes\n\nThe same values as `labkit.feed` has, by the names of their fields.\n"
    for shape in OWN_SHAPES:
        yield from _shape(shape)


def _shape(shape: type) -> Iterator[str]:
    yield f"### {_name(shape)}\n\n{inspect.getdoc(shape)}\n\n| field | type |\n| --- | --- |"
    hints = get_type_hints(shape)
    for field in [each.name for each in fields(shape)] if is_dataclass(shape) else hints:
        yield f"| `{field}` | {_annotation(hints[field])} |"
    yield ""


def _name(shape: type) -> str:
    return shape.__name__.removesuffix("Json")


_NAMES: dict[Any, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    bytes: "string of hex digits",
    type(None): "null",
    IPv4Address: "IPv4 address",
    IPv4Network: "IPv4 prefix",
    Azure: "object: the fields of `labkit.azure.model.Azure`",
}


def _annotation(annotation: Any) -> str:
    """A type of Python as JSON has it."""
    if annotation in (*SHAPES, *OWN_SHAPES):
        return _name(annotation)
    if annotation in _NAMES:
        return _NAMES[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (list, frozenset) or (origin is tuple and arguments[-1] is Ellipsis):
        return f"list of {_several(arguments[0])}"
    if origin is tuple:
        return f"list of {len(arguments)}: {', '.join(map(_several, arguments))}"
    if origin is Mapping:
        return f"object of {_several(arguments[1])}"
    if origin in (Union, UnionType):
        return " or ".join(map(_annotation, arguments))
    return " or ".join(f"`{json.dumps(value)}`" for value in annotation)


def _several(annotation: Any) -> str:
    """A type as the content of another."""
    text = _annotation(annotation)
    return f"({text})" if " or " in text else text


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
