"""The rendered topology against containerlab's own schema, and against what the file means to containerlab."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from labkit.lab.build import plan
from labkit.lab.load import load, load_text
from labkit.lab.plan.model import Plan
from labkit.render.render import render_files, topology_name

from .samples import EVERYTHING, OVERVIEW

SCHEMA = json.loads((Path(__file__).parents[2] / "data" / "clab-0.79.schema.json").read_text(encoding="utf-8"))
# Not `jsonschema.validate`: it would refuse the schema itself, one of whose patterns (of a key that we don't use) is in
# a dialect that Python's `re` does not speak.
CONTAINERLAB = jsonschema.Draft7Validator(SCHEMA)
PLANS = {"overview": plan(load(OVERVIEW)), "everything": plan(load_text(EVERYTHING, "all.lab.yml"))}
every_plan = pytest.mark.parametrize("planned", PLANS.values(), ids=PLANS)


def topology(planned: Plan) -> Any:
    return yaml.safe_load(render_files(planned, image="labkit/node:test", lab_file=b"")[topology_name(planned.lab)])


@every_plan
def test_containerlabs_schema_accepts_it(planned: Plan) -> None:
    CONTAINERLAB.validate(topology(planned))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("topology", "nodes", "vm1", "capabilities"), ["NET_ADMIN"]),
        (("topology", "nodes", "vm1", "exec"), "ip link"),
        (("topology", "defaults", "network-mode"), "nothing"),
        (("topology", "links", 0, "endpoints", 0, "mac"), "no-mac"),
    ],
)
def test_the_schema_would_notice(path: tuple[str | int, ...], value: object) -> None:
    broken = copy.deepcopy(topology(PLANS["overview"]))
    place = broken
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        CONTAINERLAB.validate(broken)


@every_plan
def test_the_file_has_what_the_plan_has(planned: Plan) -> None:
    read = topology(planned)
    assert read["name"] == planned.lab
    defaults = read["topology"]["defaults"]
    assert (defaults["kind"], defaults["image"], defaults["network-mode"], defaults["privileged"]) == (
        "linux",
        "labkit/node:test",
        "none",
        False,
    )
    assert list(read["topology"]["nodes"]) == [n.name for n in planned.nodes]
    for node in planned.nodes:
        found = read["topology"]["nodes"][node.name]
        assert {**defaults["sysctls"], **found.get("sysctls", {})} == dict(node.sysctls)
        assert {**defaults["env"], **found.get("env", {})} == dict(node.env)
        assert {**defaults["labels"], **found["labels"]} == {"labkit-lab": planned.lab, "labkit-role": node.role}
        assert found["cmd"].split() == ["/opt/labkit/bin/node-init", *node.services]
        assert found.get("exec", []) == list(node.exec)
        assert found.get("cap-add", []) == list(node.cap_add)
        assert len(found.get("binds", [])) == len(node.binds)
        assert ("healthcheck" in found) == (node.healthcheck is not None)
    ends = [[(e["node"], e["interface"], e["mac"]) for e in link["endpoints"]] for link in read["topology"]["links"]]
    assert ends == [[(e.node, e.interface, e.mac) for e in (w.a, w.b)] for w in planned.links]
