"""How long `labkit up` takes until every proof holds, where the time goes, and which programs use the processors.

`python -m tests.bench.up [--runs N] [--lab LAB]...`. The command runs as users run it, in a process of its own, on an
image that is there, the labs in turn. Its own report gives the phases; what they leave of the whole is the
interpreter's start. The processor time is that of the command and of all processes of the lab up to its end.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import time
from statistics import median

from rich.console import Console
from rich.table import Table

from labkit import paths
from labkit.operate.records.lab_files import bundled
from tests.bench.accounts import Account, account

PHASES = ("prepare", "plan", "boot", "converge", "verify")
_LINE = re.compile(r"^ (\w+) .* (\d+\.\d+) s$", re.MULTILINE)


def labkit(*arguments: str) -> str:
    """Run a labkit command and return its progress report."""
    command = [sys.executable, "-m", "labkit.cli.main", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"labkit {' '.join(arguments)} failed:\n{done.stderr}")
    return done.stderr


def measure(lab: str) -> tuple[dict[str, float], Account]:
    """One `up`: seconds by phase (`total` is the whole, `start` what no phase accounts for), and processor time."""
    used_before = _used_by_children()
    began = time.monotonic()
    report = labkit("up", lab)
    total = time.monotonic() - began
    used = _used_by_children() - used_before
    found = account(paths.state_home() / "labs" / lab / "sandbox")
    found.seconds["labkit up"] += used
    labkit("down", lab)
    phases = {name: float(seconds) for name, seconds in _LINE.findall(report)}
    return {"total": total, "start": total - sum(phases.values()), **dict.fromkeys(PHASES, 0.0), **phases}, found


def _used_by_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--lab", action="append", default=[])
    options = parser.parse_args()
    labkit("image", "build")
    runs: dict[str, list[dict[str, float]]] = {lab: [] for lab in options.lab or bundled()}
    accounts: dict[str, list[Account]] = {lab: [] for lab in runs}
    for _ in range(options.runs):
        for lab, found in runs.items():
            phases, accounted = measure(lab)
            found.append(phases)
            accounts[lab].append(accounted)
    fastest = min(median(run["total"] for run in found) for found in runs.values())
    table = Table(title=f"labkit up: seconds until every proof holds, medians of {options.runs} runs in turn")
    for column in ("lab", "total", "best", "worst", "ratio", "start", *PHASES):
        table.add_column(column, justify="left" if column == "lab" else "right")
    for lab, found in runs.items():
        totals = [run["total"] for run in found]
        figures = [median(totals), min(totals), max(totals), median(totals) / fastest]
        figures += [median(run[column] for run in found) for column in ("start", *PHASES)]
        table.add_row(lab, *(f"{figure:.2f}" for figure in figures))
    console = Console(width=110)
    console.print(table)
    for lab, of_lab in accounts.items():
        console.print(_split(lab, of_lab))


def _split(lab: str, accounts: list[Account]) -> Table:
    started, total = median(a.started for a in accounts), median(a.total for a in accounts)
    title = f"{lab}: {started:.0f} processes and threads, {total:.2f} s of processor time, medians"
    table = Table(title=title)
    table.add_column("program")
    table.add_column("seconds", justify="right")
    table.add_column("share", justify="right")
    seconds = {program: median(a.seconds[program] for a in accounts) for a in accounts for program in a.seconds}
    for program, used in sorted(seconds.items(), key=lambda item: -item[1]):
        if used >= total / 200:
            table.add_row(program, f"{used:.2f}", f"{used / total:.0%}")
    return table


if __name__ == "__main__":
    main()
