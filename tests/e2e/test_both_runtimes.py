"""Every lab that comes with labkit, in every variant: what runs agrees with the rules, on both runtimes row for row.

Both runtimes hand the same files to the same image; to a runtime labs differ in how many nodes of a role they have, and
which links. So the short suite boots two labs on containerlab, which have every role between them; the long one all.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from labkit.lab.build import plan
from labkit.lab.load import read_all
from labkit.operate.records.lab_files import bundled, find_lab_file
from labkit.pytest import Boot, RunningLab, labs_on
from labkit.runtimes.select import CONTAINERLAB, SANDBOX
from tests.e2e.by_the_rules import astray, unlike
from tests.e2e.engines import need_containerlab
from tests.e2e.in_lab import run
from tests.e2e.in_lab import variant as changed
from tests.e2e.rows import Tables, differing, tables
from tests.e2e.waiting import eventually
from tests.extent import LONG

LABS = [(name, loaded.lab) for name in bundled() for loaded in read_all(find_lab_file(name))]
ALL = [(name, lab.variant) for name, lab in LABS]
RICHEST = [("expressroute-vpn", ""), ("two-armed", "")]
"""Two labs that have gateways, circuits, tunnels, load balancers, both daemons and every role between them."""
ON_BOTH = ALL if LONG else RICHEST
# What a configuration of the user's own makes of a router, no rule says.
ON_ONE = [(name, lab.variant) for name, lab in LABS if (name, lab.variant) not in ON_BOTH and not lab.own_routers]


def named(labs: list[tuple[str, str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("name", "variant"), labs, ids=[f"{n}-{v or 'base'}" for n, v in labs])


def test_the_labs_on_both_runtimes_have_every_role() -> None:
    def roles(labs: list[tuple[str, str]]) -> set[object]:
        found = (lab for name, lab in LABS if (name, lab.variant) in labs)
        return {(node.role, node.cap_add) for lab in found for node in plan(lab).nodes}

    assert roles(RICHEST) == roles(ALL)


@named(ON_ONE)
def test_what_runs_agrees_with_the_rules(name: str, variant: str) -> None:
    with labs_on(SANDBOX) as boot:
        lab = boot(name, variant)
        eventually(lambda: unlike(lab.lab, lab.lab.azure, lab.client), lambda found: found == [])
        assert astray(lab.lab, lab.client) == []


@named(ON_BOTH)
def test_row_for_row_the_same(name: str, variant: str, tmp_path: Path) -> None:
    need_containerlab()

    def booted(boot: Boot, runtime: str) -> RunningLab:
        """All its proofs hold: what both have in common is as it should be."""
        folder = tmp_path / runtime
        folder.mkdir()
        return boot(changed(find_lab_file(name), folder, {f"name: {name}\n": f"name: rows-{runtime}\n"}), variant)

    with labs_on(SANDBOX) as here, labs_on(CONTAINERLAB) as there, ThreadPoolExecutor() as side_by_side:
        boots = [side_by_side.submit(booted, here, SANDBOX), side_by_side.submit(booted, there, CONTAINERLAB)]
        sandbox, containerlab = (each.result() for each in boots)

        seen: list[Tables] = []

        def differences() -> list[str]:
            seen[:] = side_by_side.map(tables, (sandbox, containerlab))
            return differing(*seen)

        eventually(differences, lambda found: found == [])
        if not sandbox.lab.own_routers:  # what those do, no rule says
            for lab in (sandbox, containerlab):
                assert unlike(lab.lab, lab.lab.azure, lab.client) == [], "what both show is what the rules say"
            assert astray(sandbox.lab, sandbox.client) == [], "whatif of no change and kernels agree on every packet"
        vm = sandbox.lab.virtual_machines[0].name
        run(sandbox, vm, "ip", "route", "add", "blackhole", "203.0.113.0/24", "proto", "static")
        changed_row = f"- kernel of {vm}: blackhole 203.0.113.0/24 proto static"
        assert differing(tables(sandbox), seen[1]) == [changed_row], "what differs is seen"
