"""A lab as the files of a folder: what `az … list -o json` prints of each type, and what Azure does not know."""

from __future__ import annotations

import json
from collections.abc import Mapping

from labkit.arm.beyond import beyond, with_appliances
from labkit.arm.intake import BEYOND
from labkit.arm.read.document import document_of
from labkit.arm.read.text import text_of
from labkit.arm.resource import Bag
from labkit.arm.shape import CHILDREN, as_az
from labkit.arm.write.bag import bag_of
from labkit.azure.model import Azure
from labkit.lab.file.variants import as_text
from labkit.lab.file.yaml_source import Source
from labkit.lab.load import Loaded


def files_of(loaded: Loaded, azure: Azure) -> dict[str, str]:
    """The files of a lab by their names; `azure` are its objects as they are now."""
    name = loaded.lab.name
    bag, unknown = bag_of(azure, name), with_appliances(beyond(loaded.source.data), loaded.lab.azure, azure)
    found = {f"{type_.rpartition('/')[2]}.json": _listed(bag, type_) for type_ in _types(bag)}
    found[BEYOND] = f"# What Azure does not know of lab {name}, for `labkit import`.\n{as_text(Source(unknown, {}))}"
    document = document_of(bag, unknown, name)
    found[f"{name}.lab.yml"] = text_of(document, [f"Lab {name} as it was when `labkit export` wrote this."], {})
    return found


def _types(bag: Bag) -> list[str]:
    """The types that az lists for themselves: those on top, and children of which their parents show the ids alone."""
    hidden = {f"{type_}/{child.kind}" for type_, children in CHILDREN.items() for child in children if child.whole}
    return list(dict.fromkeys(resource.id.type for resource in bag.values() if resource.id.type not in hidden))


def _listed(bag: Bag, type_: str) -> str:
    shown: list[Mapping[str, object]] = [as_az(bag, resource) for resource in bag.of_type(type_)]
    return json.dumps(shown, indent=2) + "\n"
