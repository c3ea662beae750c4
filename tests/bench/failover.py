"""How long flows are cut when an appliance of `dual-homed` fails, by how it fails: `python -m tests.bench.failover`.

In the variant active/passive, so that every flow has to move. The ways to fail take turns on one lab; the longest
outage of all flows counts, in either direction. The ratio is to the slowest way, which is the silent one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from statistics import median

from rich.console import Console
from rich.table import Table

from tests.bench.up import labkit

LAB = "dual-homed"
BGPD = "/run/labkit-services/bgpd"
"""The service in an appliance; one that is killed with -O stays away until it is wanted again."""
UPSTREAM = ("hub1-upstream", "0.0.0.0/0")


@dataclass(frozen=True)
class Fault:
    """A way to fail, by labkit commands: where the flows from vm1 go that it cuts, and what mends it if not time."""

    name: str
    target: str
    command: tuple[str, ...]
    repair: tuple[str, ...] = ()


FAULTS = (
    Fault("the sessions are reset", "onprem", ("exec", "hub1-nva", "--", "vtysh", "-c", "clear bgp *")),
    Fault(
        "bgpd is killed",
        "onprem",
        ("exec", "hub1-nva", "--", "s6-svc", "-Ok", BGPD),
        ("exec", "hub1-nva", "--", "s6-svc", "-u", BGPD),
    ),
    Fault(
        "the link on-premises goes",
        "onprem",
        ("exec", "hub1-nva", "--", "ip", "link", "set", "eth1", "down"),
        ("exec", "hub1-nva", "--", "ip", "link", "set", "eth1", "up"),
    ),
    Fault(
        "the service behind it fails",
        "internet",
        ("route-table", "add", *UPSTREAM, "None"),
        ("route-table", "remove", *UPSTREAM),
    ),
    Fault("power off (hold time 9 s)", "onprem", ("stop", "hub1-nva"), ("start", "hub1-nva")),
)


def outage(fault: Fault) -> float:
    """The longest outage in milliseconds that any flow had while a fault happened."""
    run = [sys.executable, "-m", "labkit.cli.main"]
    measure = [*run, "measure", "failover", "vm1", fault.target, "--lab", LAB, "--format", "json"]
    command = [*measure, "--", *run, *fault.command]
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
    found: dict[str, list[float]] = {fault.name: [] for fault in FAULTS}
    try:
        for _ in range(options.runs):
            for fault in FAULTS:
                found[fault.name].append(outage(fault))
                if fault.repair:
                    labkit(*fault.repair)
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
