"""Files with resources: which form each has, and the bag of all.

A form is recognised by what is in a file, not by its name: what `az … list` or `az … show` prints, of today's and older
versions; `list-learned-routes`; `bicep snapshot`; and the file that `labkit export` writes of what Azure does not know.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from labkit.arm.captures import Learned, is_learned_routes, learned_routes
from labkit.arm.ids import ResourceId
from labkit.arm.read.reading import LeftOut
from labkit.arm.resource import Bag, Json, Resource
from labkit.arm.shape import UnknownType, resources_of
from labkit.errors import InvalidInput
from labkit.lab.file.yaml_source import Data, parse

BEYOND = "beyond.yml"
"""The file, next to those of resources, of what Azure does not know."""

_EFFECTS = {
    "publicipaddresses": "None on the routes of a lab.",
    "bastionhosts": "None on routes.",
    "virtualwans": "Nothing of Virtual WAN's routing is in the lab.",
    "hubvirtualnetworkconnections": "Nothing of Virtual WAN's routing is in the lab.",
    "hubroutetables": "Nothing of Virtual WAN's routing is in the lab.",
    "natgateways": "None on routes; what leaves a subnet has another public address in Azure.",
    "privateendpoints": "Its /32 route is missing in the lab.",
    "routemaps": "Routes are not changed by it in the lab.",
}


@dataclass(frozen=True, slots=True)
class Intake:
    """What files have: resources, what Azure does not know of the lab, what was left out, and where each came from."""

    bag: Bag
    beyond: Mapping[str, Data]
    left_out: tuple[LeftOut, ...]
    files: Mapping[ResourceId, str]
    learned: tuple[Learned, ...]


def take_in(files: Iterable[tuple[str, str]]) -> Intake:
    """The resources of files, each by its name and text; the later of two of one id counts.

    Raises:
        InvalidInput: a file is not JSON, or has none of the forms; with the file and the place in it.
    """
    resources: list[Resource] = []
    left_out: list[LeftOut] = []
    origins: dict[ResourceId, str] = {}
    beyond: dict[str, Data] = {}
    learned: list[Learned] = []
    for name, text in files:
        if name.endswith((".yml", ".yaml")):
            beyond = _beyond(name, text)
            continue
        found_json = _json(name, text)
        if isinstance(found_json, dict) and is_learned_routes(found_json):
            learned += learned_routes(found_json, name)
            continue
        for body in _bodies(found_json, name):
            try:
                found = _found(body, name)
            except UnknownType as unknown:
                left_out.append(_left_out(unknown, body))
                continue
            resources += found
            origins |= dict.fromkeys((resource.id for resource in found), name)
    return Intake(Bag(resources), beyond, tuple(left_out), origins, tuple(learned))


def _found(body: Json, name: str) -> tuple[Resource, ...]:
    if not isinstance(body, dict):
        return resources_of(body, name)
    id_, type_, named = body.get("id"), body.get("type"), body.get("name")
    if isinstance(id_, str) and id_.startswith("/"):
        return resources_of(body, name)
    if isinstance(type_, str) and isinstance(named, str) and "/" in type_:
        # `bicep snapshot` without a subscription has expressions in place of ids.
        names = named.split("/")
        if len(names) != type_.count("/"):
            raise InvalidInput(f"{name}: {named} has not as many names as its type {type_}", "Write it once more.")
        return resources_of(body, name, ResourceId.of("snapshot", "snapshot", type_, *names))
    return resources_of(body, name)


def _left_out(unknown: UnknownType, body: Json) -> LeftOut:
    what = body.get("id") or body.get("name") if isinstance(body, dict) else None
    effect = _EFFECTS.get(unknown.type.rpartition("/")[2].lower(), "Whatever it does to routes is not in the lab.")
    return LeftOut(str(what or unknown.type), f"labkit does not know resources of type {unknown.type}", effect)


def _json(name: str, text: str) -> Json:
    try:
        found: Json = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        where = f"{name}, line {error.lineno}"
        raise InvalidInput(f"{where}: this is not JSON: {error.msg}", "Add `-o json` to the az command.") from None
    except RecursionError:
        raise InvalidInput(f"{name}: too many brackets", "Export it once more.") from None
    except ValueError as error:
        raise InvalidInput(f"{name}: {error}", "Export it once more.") from None
    return found


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not a value of JSON")


def _bodies(found: Json, name: str) -> Iterator[Json]:
    """The resources of a file of any form."""
    if isinstance(found, list):
        yield from found
    elif not isinstance(found, dict):
        raise InvalidInput(f"{name}: this has no resources", "Name files of `az … list -o json`.")
    elif isinstance(found.get("predictedResources"), list):
        yield from _of_list(found["predictedResources"])
    elif "$schema" in found and "resources" in found:
        raise InvalidInput(
            f"{name}: this is a template, whose values are not worked out",
            "Deploy it, or run `bicep snapshot`, and import what that writes.",
        )
    elif "format_version" in found and {"values", "planned_values"} & found.keys():
        raise InvalidInput(
            f"{name}: this is of Terraform, whose state and plans are not read",
            "Apply it, collect what is there (`labkit import --script bash`), and import that.",
        )
    elif isinstance(found.get("value"), list) and "id" not in found:
        yield from _of_list(found["value"])
    else:
        yield found


def _of_list(value: Json) -> Iterator[Json]:
    yield from value if isinstance(value, list) else ()


def _beyond(name: str, text: str) -> dict[str, Data]:
    source = parse(text)
    if source.problems:
        first = source.problems[0]
        raise InvalidInput(f"{name}, line {first.line}: {first.text}", first.remedy)
    if not isinstance(source.data, dict):
        raise InvalidInput(f"{name}: must be a mapping", "`labkit export` writes it.")
    if "virtual_networks" in source.data:
        raise InvalidInput(f"{name}: this is a lab file already", f"Start it: labkit up {name}")
    return source.data
