"""Every lab that comes with labkit, in every variant, on the sandbox and on containerlab: row for row the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from labkit.lab.file.load import read_all
from labkit.operate.labs.lifecycle import bundled, find_lab_file
from labkit.pytest import Boot, RunningLab, labs_on
from labkit.runtimes.select import CONTAINERLAB, SANDBOX
from tests.e2e.by_the_rules import unlike
from tests.e2e.engines import need_containerlab
from tests.e2e.in_lab import run
from tests.e2e.in_lab import variant as changed
from tests.e2e.rows import Tables, differing, tables
from tests.e2e.waiting import eventually

LABS = [(name, loaded.lab.variant) for name in bundled() for loaded in read_all(find_lab_file(name))]


@pytest.mark.parametrize(("name", "variant"), LABS, ids=[f"{name}-{variant or 'base'}" for name, variant in LABS])
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

        eventually(differences, lambda found: found == [], 30)
        for lab in (sandbox, containerlab):
            assert unlike(lab.lab, lab.lab.azure, lab.client) == [], "what both show is what the rules say of everybody"
        vm = sandbox.lab.virtual_machines[0].name
        run(sandbox, vm, "ip", "route", "add", "blackhole", "203.0.113.0/24", "proto", "static")
        changed_row = f"- kernel of {vm}: blackhole 203.0.113.0/24 proto static"
        assert differing(tables(sandbox), seen[1]) == [changed_row], "what differs is seen"
