"""The JSON Schema of lab files, with which editors complete keys and mark mistakes as they are typed."""

from __future__ import annotations

from typing import Any

from labkit.lab.schema import LabFile


def json_schema() -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) that every valid lab file satisfies.

    It knows shapes and words. What names refer to, and whether ranges fit together, only loading a file can tell.
    """
    schema = LabFile.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_tidy(schema), "title": "labkit lab file"}


def _tidy(schema: Any) -> Any:
    """Without the titles that pydantic makes from names: editors would show them in place of the names."""
    if isinstance(schema, dict):
        return {k: _tidy(v) for k, v in schema.items() if not (k == "title" and isinstance(v, str))}
    if isinstance(schema, list):
        return [_tidy(v) for v in schema]
    return schema
