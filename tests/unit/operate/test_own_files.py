"""Configurations of the user's own: what labkit's values make of them, and what their daemons' parsers see."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.daemons.protocol import Config
from labkit.lab.build import plan
from labkit.lab.file.problems import LabFileError
from labkit.lab.load import read
from labkit.operate.labs.own_files import checked
from labkit.render.own_files import read_own_files
from labkit.runtimes.image import images, parser

LAB = """
name: own
virtual_networks:
  vn: {address_space: 10.0.0.0/16, subnets: {a: 10.0.1.0/24}}
nvas:
  fw.1: {subnet: vn/a, address: 10.0.1.11, asn: 65001, config: fw.conf, peers_with: [fw.2]}
  fw.2: {subnet: vn/a, address: 10.0.1.12, asn: 65002, config: fw.conf}
"""


@pytest.mark.parametrize(
    "value", ["1 / 0", 'address + "x"', "range(1000000000)", "nics.outside.address", "address.foo()", "1 +", "name | x"]
)
def test_a_value_that_can_not_be_made_is_a_mistake_with_its_line(tmp_path: Path, value: str) -> None:
    (tmp_path / "lab.yml").write_text(LAB)
    (tmp_path / "fw.conf").write_text(f"frr defaults traditional\nhostname {{{{ {value} }}}}\n")
    loaded = read(tmp_path / "lab.yml")
    with pytest.raises(LabFileError) as refused:
        read_own_files(loaded, plan(loaded.lab))
    (problem,) = refused.value.problems
    assert problem.line == 2
    assert len(problem.text) > len("x.")


def test_every_nva_has_its_own_values_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lab.yml").write_text(LAB)
    (tmp_path / "fw.conf").write_text("router-id {{ address }}\n")
    seen: list[str] = []

    def mistakes(image: object, config: Config, name: str, text: str) -> dict[int, str]:  # noqa: ARG001
        seen.append(text)
        return {}

    monkeypatch.setattr(parser, "mistakes", mistakes)
    loaded = read(tmp_path / "lab.yml")
    checked(loaded, plan(loaded.lab), images.Image.__new__(images.Image))
    assert seen == ["router-id 10.0.1.11\n", "router-id 10.0.1.12\n"]
