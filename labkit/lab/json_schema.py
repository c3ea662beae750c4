"""The JSON Schema of lab files, with which editors complete keys and mark mistakes as they are typed."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import JsonSchemaValue

from labkit.lab.compile import SHAPE

_NOT_PATCHED = ("name", "variants")


def json_schema() -> JsonSchemaValue:
    """A JSON Schema (draft 2020-12) that every valid lab file satisfies.

    It knows shapes and words. What names refer to, and whether ranges fit together, only loading a file shows.
    """
    schema = SHAPE.model.model_json_schema(mode="validation")
    _describe_variants(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_tidy(schema), "title": "labkit lab file"}


def _describe_variants(schema: JsonSchemaValue) -> None:
    """Completes the schema of a variant, which is that of the file as a patch. Its proofs are added, not patched."""
    file, patches = schema["properties"], _Patches(schema["$defs"])
    variant = schema["$defs"]["Variant"]
    variant["properties"] |= {key: patches.value(file[key]) for key in file if key not in _NOT_PATCHED}
    variant["properties"]["proofs"] = file["proofs"]
    variant["additionalProperties"] = False
    schema["$defs"] |= patches.parts


class _Patches:
    """Schemas of patches: nothing must be given, null removes, lists are whole. `parts` are those referred to."""

    def __init__(self, parts: JsonSchemaValue) -> None:
        self.originals = parts
        self.parts: JsonSchemaValue = {}

    def value(self, schema: JsonSchemaValue) -> JsonSchemaValue:
        """The schema of what may stand in a patch for what `schema` describes."""
        described = {"description": schema["description"]} if "description" in schema else {}
        return {"anyOf": [self._patch(schema), {"type": "null"}], **described}

    def _patch(self, schema: JsonSchemaValue) -> JsonSchemaValue:
        made: JsonSchemaValue = {}
        for key, value in schema.items():
            match key:
                case "required":
                    pass
                case "properties" | "patternProperties":
                    made[key] = {name: self.value(each) for name, each in value.items()}
                case "additionalProperties" if isinstance(value, dict):
                    made[key] = self.value(value)
                case "anyOf":
                    made[key] = [self._patch(each) for each in value]
                case "$ref":
                    made[key] = self._refer(value)
                case _:
                    made[key] = value
        return made

    def _refer(self, reference: str) -> str:
        name = reference.rpartition("/")[2]
        if f"{name}Patch" not in self.parts:
            self.parts[f"{name}Patch"] = self._patch(self.originals[name])
        return f"{reference}Patch"


def _tidy(schema: Any) -> Any:
    """Without the titles that pydantic makes from names: editors would show them in place of the names."""
    if isinstance(schema, dict):
        return {k: _tidy(v) for k, v in schema.items() if not (k == "title" and isinstance(v, str))}
    if isinstance(schema, list):
        return [_tidy(v) for v in schema]
    return schema
