"""How long `labkit up` takes until every proof holds, and where the time goes.

`python -m tests.bench.up [--runs N] [--lab LAB]...`. The command runs as users run it, in a process of its own, on an
image that is there, the labs in turn. Its own report gives the phases; what they leave of the whole is the
interpreter's start.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from statistics import median

from rich.console import Console
from rich.table import Table

from labkit.operate.labs import lifecycle

PHASES = ("prepare", "plan", "boot", "converge", "verify")
_LINE = re.compile(r"^ (\w+) .* (\d+\.\d+) s$", re.MULTILINE)


def labkit(*arguments: str) -> str:
    """Run a labkit command and return what it said."""
    command = [sys.executable, "-m", "labkit.cli.main", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"labkit {' '.join(arguments)} failed:\n{done.stderr}")
    return done.stderr


def measure(lab: str) -> dict[str, float]:
    """Seconds of one `up` by phase (0: none told); `total` is the whole, `start` what no phase accounts for."""
    began = time.monotonic()
    said = labkit("up", lab)
    total = time.monotonic() - began
    labkit("down", lab)
    phases = {name: float(seconds) for name, seconds in _LINE.findall(said)}
    return {"total": total, "start": total - sum(phases.values()), **dict.fromkeys(PHASES, 0.0), **phases}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--lab", action="append", default=[])
    options = parser.parse_args()
    labkit("image", "build")
    runs: dict[str, list[dict[str, float]]] = {lab: [] for lab in options.lab or lifecycle.bundled()}
    for _ in range(options.runs):
        for lab, found in runs.items():
            found.append(measure(lab))
    fastest = min(median(run["total"] for run in found) for found in runs.values())
    table = Table(title=f"labkit up: seconds until every proof holds, medians of {options.runs} runs in turn")
    for column in ("lab", "total", "best", "worst", "ratio", "start", *PHASES):
        table.add_column(column, justify="left" if column == "lab" else "right")
    for lab, found in runs.items():
        totals = [run["total"] for run in found]
        figures = [median(totals), min(totals), max(totals), median(totals) / fastest]
        figures += [median(run[column] for run in found) for column in ("start", *PHASES)]
        table.add_row(lab, *(f"{figure:.2f}" for figure in figures))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
