"""What a lab file names becomes the name of a node, a file, an interface or a line of configuration: only names do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from labkit.errors import InvalidInput
from labkit.lab.build import plan
from labkit.lab.load import load
from labkit.resources import topologies

FILE = topologies() / "dual-homed-expressroute" / "lab.yml"
NAMES = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*|\.keep")

HOSTILE = (
    "../../../etc/passwd", "/etc/passwd", ".", "..", "-rf", "a b", "a;reboot", "$(reboot)", "`reboot`", "a|b", "a&b",
    "a\nrouter bgp 1", "a\rb", "a\0b", "\x1b[2Ja", "a'b", 'a"b', "{{ 7 * 7 }}", "{% raw %}", "a:b", "a\\b", "é", "",
)  # fmt: skip


def renamed(content: Any, change: Callable[[str], str]) -> Any:
    """The content of a file with every key and text changed."""
    if isinstance(content, dict):
        return {change(key) if isinstance(key, str) else key: renamed(value, change) for key, value in content.items()}
    if isinstance(content, list):
        return [renamed(value, change) for value in content]
    return change(content) if isinstance(content, str) else content


def names() -> list[str]:
    """The names of all nodes that the file itself names, and of its subnets, tables and itself."""
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    del content["proofs"]
    sections = [section for section in content.values() if isinstance(section, dict)]
    subnets = [name for network in content["virtual_networks"].values() for name in network["subnets"]]
    own = [name for section in sections for name, value in section.items() if isinstance(value, dict)]
    return [content["name"], *own, *(name for name in subnets if not name.endswith("Subnet"))]


def pairs() -> list[tuple[str, str]]:
    """Every name and every hostile text at least once."""
    all_names = names()
    count = max(len(all_names), len(HOSTILE))
    return [(all_names[n % len(all_names)], HOSTILE[n % len(HOSTILE)]) for n in range(count)]


@pytest.mark.parametrize(("name", "hostile"), [*pairs(), ("vnet1", "{% raw %}")])
def test_an_invalid_name_is_refused(tmp_path: Path, name: str, hostile: str) -> None:
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    del content["proofs"]
    file = tmp_path / "lab.yml"

    def change(text: str) -> str:
        return hostile if text == name else "/".join(hostile if part == name else part for part in text.split("/"))

    file.write_text(yaml.safe_dump(renamed(content, change), allow_unicode=True), encoding="utf-8")
    with pytest.raises(InvalidInput):
        load(file)


def test_nodes_interfaces_and_files_have_names_and_no_others() -> None:
    for file in topologies().glob("*/lab.yml"):
        planned = plan(load(file))
        assert all(NAMES.fullmatch(node.name) for node in planned.nodes)
        assert all(NAMES.fullmatch(part) for each in planned.files for part in Path(each.path).parts)
