"""The Jinja environment of labkit's templates."""

from __future__ import annotations

import math
from collections.abc import Mapping

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from labkit.names import handle
from labkit.resources import templates


def environment() -> Environment:
    """An environment in which an undefined name is an error and a line with only a statement leaves no blank line."""
    made = Environment(
        loader=FileSystemLoader(templates()),
        undefined=StrictUndefined,
        autoescape=select_autoescape(()),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["yaml"] = yaml_scalar
    made.filters["without"] = without
    made.filters["handle"] = handle
    return made


def yaml_scalar(value: object) -> str:
    """A value as a YAML scalar, quoted where it would else be read as something other than a string."""
    text = str(value) if isinstance(value, str) else value
    return yaml.safe_dump(text, default_flow_style=True, width=math.inf).removesuffix("\n").removesuffix("\n...")


def without(values: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """The entries of `values` that are not in `known`."""
    return {key: value for key, value in values.items() if key not in known}
