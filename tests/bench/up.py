"""How long `labkit up` takes until every proof holds, and where the time goes: `python -m tests.bench.up [--runs N]`.

The command runs as users run it, in a process of its own, on an image that is there. Its own report gives the phases;
what they leave of the whole is the interpreter's start.
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
    parser.add_argument("--lab", default="overview")
    options = parser.parse_args()
    labkit("image", "build")
    runs = [measure(options.lab) for _ in range(options.runs)]
    table = Table(title=f"labkit up {options.lab}: seconds until every proof holds, {options.runs} runs")
    columns = ("total", "start", *PHASES)
    for column in ("", *columns):
        table.add_column(column, justify="right")
    for name, choose in (("median", median), ("best", min), ("worst", max)):
        table.add_row(name, *(f"{choose([run[column] for run in runs]):.2f}" for column in columns))
    Console().print(table)


if __name__ == "__main__":
    main()
