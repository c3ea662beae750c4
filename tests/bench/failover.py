"""How long flows are cut when an appliance of `dual-homed` fails, by how it fails: `python -m tests.bench.failover`.

In the variant active/passive, so that every flow has to move. The ways to fail take turns on one lab; the longest
outage of all flows counts, in either direction. The ratio is to the slowest way, which is the silent one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from statistics import median

from rich.console import Console
from rich.table import Table

from tests.bench.up import labkit

LAB = "dual-homed"
BGPD = "/run/labkit-services/bgpd"
"""The service in an appliance; one that is killed with -O stays away until it is wanted again."""
FAULTS = {
    "bgpd is killed": ("exec", "hub1-nva", "--", "s6-svc", "-Ok", BGPD),
    "the link on-premises goes": ("exec", "hub1-nva", "--", "ip", "link", "set", "eth1", "down"),
    "power off (hold time 9 s)": ("stop", "hub1-nva"),
}
REPAIRS = {
    "bgpd is killed": ("exec", "hub1-nva", "--", "s6-svc", "-u", BGPD),
    "the link on-premises goes": ("exec", "hub1-nva", "--", "ip", "link", "set", "eth1", "up"),
    "power off (hold time 9 s)": ("start", "hub1-nva"),
}


def outage(fault: tuple[str, ...]) -> float:
    """The longest outage in milliseconds that any flow had while a fault happened."""
    run = [sys.executable, "-m", "labkit.cli.main"]
    command = [*run, "measure", "failover", "vm1", "onprem", "--lab", LAB, "--format", "json", "--", *run, *fault]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    flows = json.loads(done.stdout)["flows"]
    return max(float(flow[way]["longest_ms"]) for flow in flows for way in ("forward", "backward"))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    labkit("up", LAB, "--variant", "active-passive")
    found: dict[str, list[float]] = {name: [] for name in FAULTS}
    try:
        for _ in range(options.runs):
            for name, fault in FAULTS.items():
                found[name].append(outage(fault))
                labkit(*REPAIRS[name])
                labkit("verify", LAB, "--within", "60")
    finally:
        labkit("down", LAB)
    slowest = max(median(values) for values in found.values())
    table = Table(title=f"the longest outage of a flow, {options.runs} runs in turn")
    for column in ("fault", "median ms", "best", "worst", "ratio"):
        table.add_column(column, justify="left" if column == "fault" else "right")
    for name, values in found.items():
        figures = [f"{choose(values):.0f}" for choose in (median, min, max)]
        table.add_row(name, *figures, f"{median(values) / slowest:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
