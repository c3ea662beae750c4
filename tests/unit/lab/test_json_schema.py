from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from labkit.lab.file.yaml_source import parse
from labkit.lab.json_schema import json_schema

from .samples import EVERYTHING, OVERVIEW

ERRORS = Path(__file__).parents[2] / "golden" / "errors"


def typed(data: Any) -> Any:
    """What an editor's YAML 1.2 makes of text: numbers, true and false."""
    if isinstance(data, dict):
        return {k: typed(v) for k, v in data.items()}
    if isinstance(data, list):
        return [typed(v) for v in data]
    try:
        value = json.loads(data)
    except (TypeError, ValueError):
        return {"yes": True, "no": False, "on": True}.get(data, data)
    return value


def errors(text: str) -> list[str]:
    validator = jsonschema.Draft202012Validator(json_schema())
    return [e.message for e in validator.iter_errors(typed(parse(text).data))]


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert json.loads(json.dumps(json_schema())) == json_schema()


@pytest.mark.parametrize("text", [OVERVIEW.read_text(), EVERYTHING], ids=["overview", "every form"])
def test_valid_files_satisfy_it(text: str) -> None:
    assert errors(text) == []


@pytest.mark.parametrize("name", ["unknown-keys", "wrong-types", "prefixes", "names", "name-missing"])
def test_it_finds_mistakes_of_shape(name: str) -> None:
    assert errors((ERRORS / f"{name}.lab.yml").read_text()) != []


@pytest.mark.parametrize(
    "patch",
    [
        {"nvas": {"fw": {"prepend": 11}}},
        {"nvas": {"fw": {"prepent": 1}}},
        {"nvas": {"fw": None}, "name": "other"},
        {"variants": {}},
        {"proofs": None},
        {"proofs": [None]},
        {"peerings": [{"use_remote_gateways": "spoke"}]},
        {"nvass": {}},
        None,
    ],
)
def test_it_finds_mistakes_of_shape_in_variants(patch: dict[str, Any] | None) -> None:
    data = typed(parse(EVERYTHING).data)
    validator = jsonschema.Draft202012Validator(json_schema())
    assert [e.message for e in validator.iter_errors(data)] == []
    data["variants"]["more"] = patch
    assert [e.message for e in validator.iter_errors(data)] != []


def test_editors_can_show_what_a_key_means() -> None:
    schema = json_schema()
    server = schema["$defs"]["RouteServer"]["properties"]
    assert server["branch_to_branch"]["description"].startswith("True: ")
    assert schema["$defs"]["RouteServerPatch"]["properties"]["branch_to_branch"]["description"].startswith("True: ")
    parts = [d for d in schema["$defs"].values() if "properties" in d and "Proof" not in d.get("description", "Proof")]
    described = [p.get("description") or p.get("$ref") for d in parts for p in d["properties"].values()]
    assert len(described) > 20
