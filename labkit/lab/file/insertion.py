"""Values that labkit adds to the text of a lab file, whose lines and comments stay as they are otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import yaml

from labkit.lab.file.yaml_source import Path

_Edit = tuple[int, int, str]
"""Where in the text something begins and ends, and what is there in its place."""


def with_values(text: str, values: Mapping[Path, str], short: str) -> str:
    """A valid YAML text with values that it does not have yet, by their paths.

    What is to have such a value and is written as a word alone, `vm1: hub/app`, becomes a mapping, in which that word
    is the value of the key `short`. A value is left out where there is none to have it, or it is shared by an anchor.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    edits = [edit for path, value in values.items() for edit in _edits(text, root, path, value, short)]
    for begin, end, new in sorted(edits, reverse=True):
        text = text[:begin] + new + text[end:]
    return text


def _edits(text: str, root: yaml.Node | None, path: Path, value: str, short: str) -> Iterator[_Edit]:
    node, key = _at(root, path[:-1]), path[-1]
    if node is None or text[node.start_mark.index] in "&*!":
        return
    begin, end = node.start_mark.index, node.end_mark.index
    if isinstance(node, yaml.ScalarNode) and node.value and "\n" not in text[begin:end]:
        yield begin, end, f"{{{short}: {text[begin:end]}, {key}: {value}}}"
    elif isinstance(node, yaml.MappingNode) and node.value and key not in {each.value for each, _ in node.value}:
        if node.flow_style:
            yield begin + 1, begin + 1, f"{key}: {value}, "
        else:
            yield begin, begin, f"{key}: {value}\n{' ' * node.start_mark.column}"


def _at(node: yaml.Node | None, path: Path) -> yaml.Node | None:
    """The node at a path, if all of it is written there."""
    for step in path:
        found = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((value for key, value in found if key.value == step), None)
    return node
