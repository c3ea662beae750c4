"""`labkit schema`: the JSON Schema of lab files, for editors."""

from __future__ import annotations

from labkit.cli.output import put_json
from labkit.lab.json_schema import json_schema


def command() -> None:
    """Print the JSON Schema of lab files, for editors."""
    put_json(json_schema())
