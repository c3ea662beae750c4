"""Sandbox against containerlab, side by side: `python -m tests.bench.runtimes [--runs N] [--lab LAB]...`.

Seconds from the command to every proof holding, the runtimes in turn so that the machine's other work hits both, on
images that are there; and the memory of the nodes, as the sum of their processes' proportional shares.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from labkit.errors import EnvironmentProblem
from labkit.lab.load import load
from labkit.operate.look.client import LabClient
from labkit.operate.records.lab_files import bundled, find_lab_file
from labkit.operate.records.record import read
from labkit.runtimes.containerlab import docker_engine, docker_images
from labkit.runtimes.containerlab import tool as containerlab_tool
from labkit.runtimes.image import images
from labkit.runtimes.select import CONTAINERLAB, RUNTIMES
from tests.bench.up import labkit


def measure(file: Path, runtime: str) -> tuple[float, float, float]:
    """Seconds of one `up` and of one `down`, and megabytes per node in between."""
    began = time.monotonic()
    labkit("up", str(file), "--runtime", runtime)
    up = time.monotonic() - began
    name = load(file).name
    try:
        megabytes = memory(name)
    finally:
        began = time.monotonic()
        labkit("down", name)
    return up, time.monotonic() - began, megabytes


def renamed(lab: str, folder: Path) -> Path:
    """A copy of the lab's file under a name that no other lab of this machine has, to find its processes."""
    file = find_lab_file(lab)
    text = file.read_text(encoding="utf-8")
    copy = folder / f"{lab.replace('/', '-')}.lab.yml"
    copy.write_text(re.sub(r"^name: .*$", f"name: bench-{os.getpid()}", text, count=1, flags=re.MULTILINE))
    return copy


def memory(lab: str) -> float:
    """Megabytes per node: of every process that has the lab's name in its environment, and of what holds them."""
    record = read(lab)
    assert record is not None
    found = LabClient(record).runtime.inspect(lab)
    assert found is not None
    kilobytes = sum(share(process) for process in own_processes(lab, record.runtime))
    return kilobytes / 1024 / len(found.nodes)


def own_processes(lab: str, runtime: str) -> Iterator[Path]:
    """The lab's processes as /proc has them: its nodes', and the shims that hold Docker's containers."""
    mark = f"LABKIT_LAB={lab}".encode()
    shims = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                yield process
                parent = (process / "stat").read_text().rsplit(")", 1)[1].split()[1]
                if runtime == CONTAINERLAB and (Path("/proc") / parent / "comm").read_text().startswith("containerd"):
                    shims.add(parent)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    yield from (Path("/proc") / shim for shim in sorted(shims))


def share(process: Path) -> int:
    """Kilobytes that are this process's own, and its share of what it has in common with others."""
    try:
        lines = (process / "smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--lab", action="append", default=[])
    options = parser.parse_args()
    try:
        docker_engine.engine()
        containerlab_tool.program()
    except EnvironmentProblem as problem:
        print(f"not measured: {problem.message} {problem.remedy}")
        sys.exit(0)
    labkit("image", "build")
    docker_images.ensure(images.node_image().reference)
    table = Table(title=f"command to every proof holding; medians of {options.runs} runs in turn")
    for column in ("lab", "runtime", "up s", "best", "worst", "down s", "MB/node", "up, ratio"):
        table.add_column(column, justify="right")
    for lab in options.lab or bundled():
        runs: dict[str, list[tuple[float, float, float]]] = {runtime: [] for runtime in RUNTIMES}
        for _ in range(options.runs):
            for runtime, found in runs.items():
                with TemporaryDirectory() as folder:
                    found.append(measure(renamed(lab, Path(folder)), runtime))
        first = median(up for up, _, _ in runs[RUNTIMES[0]])
        for runtime, found in runs.items():
            ups, downs, megabytes = zip(*found, strict=True)
            figures = (median(ups), min(ups), max(ups), median(downs), median(megabytes), median(ups) / first)
            table.add_row(lab, runtime, *(f"{figure:.2f}" for figure in figures))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
