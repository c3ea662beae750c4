"""FIB installation: the agent against `ip -batch`, in one kernel and one run. `python -m tests.bench.fib [--runs N]`.

The agent's time runs from the feed's message as text (JSON) to the kernel's last acknowledgement: decoding, mapping,
reading what the kernel holds, installing. `ip -batch` gets a file written beforehand; its time is that of the process.
It is measured with routes that name their next hop, as people write them, and with routes that name a nexthop object,
as the agent does; the ratio is to the faster. Everything happens in a network namespace of the benchmark's own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from labkit.agent.feed_table import FeedTable
from labkit.agent.fib import Fib
from labkit.agent.kernel_routes import Uplink
from labkit.feed.tables import AGENT, AgentSnapshot

SIZES = (1_000, 10_000, 100_000)
INSIDE = "--in-namespace"
HOPS = ("10.1.1.4", "10.1.1.5")


def ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


def prefixes(count: int) -> list[str]:
    return [f"{20 + (n >> 16)}.{(n >> 8) & 255}.{n & 255}.0/24" for n in range(count)]


def message(count: int, *next_hops: str) -> str:
    group = {"type": "VirtualNetworkGateway", "next_hops": next_hops}
    table = {"groups": {"1": group}, "routes": dict.fromkeys(prefixes(count), 1)}
    return json.dumps({"seq": 1, "type": "snapshot", "tables": {"eth0": table}})


def decoded(text: str) -> FeedTable:
    message = AGENT.down.decode_numbered(text)[1]()
    assert isinstance(message, AgentSnapshot)
    return FeedTable.of(message.tables["eth0"])


def installed(fib: Fib, text: str, uplink: Uplink) -> None:
    outcome = fib.reconcile(decoded(text), uplink)
    assert outcome.error is None, outcome.error


@dataclass
class Times:
    """Seconds of every run, by what was timed."""

    runs: dict[str, list[float]] = field(default_factory=dict)

    def measure(self, name: str, work: Callable[[], object]) -> None:
        began = time.perf_counter()
        work()
        self.runs.setdefault(name, []).append(time.perf_counter() - began)

    def __getitem__(self, name: str) -> float:
        return median(self.runs[name])


def measure(count: int, runs: int, uplink: Uplink, folder: Path) -> Times:
    times = Times()
    by_hop, by_object = folder / "hop", folder / "object"
    by_hop.write_text("".join(f"route add {p} via {HOPS[0]} dev eth0 onlink proto 99\n" for p in prefixes(count)))
    by_object.write_text("".join(f"route add {p} nhid 9000 proto 99\n" for p in prefixes(count)))
    away = folder / "away"
    away.write_text("".join(f"route del {p} proto 99\n" for p in prefixes(count)))
    text, other = message(count, HOPS[0]), message(count, HOPS[1])
    for _ in range(runs):
        for name, file in (("ip", by_hop), ("ip nhid", by_object)):
            times.measure(name, partial(ip, "-batch", str(file)))
            ip("-batch", str(away))
        fib = Fib()

        install = partial(installed, fib, text, uplink)
        times.measure("decode", partial(decoded, text))
        times.measure("agent", install)
        held = len(ip("route", "show", "proto", "65").splitlines())
        assert held == count, f"{held} of {count} routes are in the kernel"
        times.measure("adopt", install)
        table = decoded(other)
        times.measure("failover", partial(fib.update, table, {}, uplink))
        times.measure("remove", partial(fib.reconcile, FeedTable(), uplink))
        fib.close()
    return times


def inside(runs: int) -> None:
    ip("link", "set", "lo", "up")
    ip("link", "add", "eth0", "type", "veth", "peer", "name", "fabric")
    ip("address", "add", "10.1.10.4/24", "dev", "eth0")
    ip("link", "set", "eth0", "up")
    ip("link", "set", "fabric", "up")
    ip("nexthop", "add", "id", "9000", "via", HOPS[0], "dev", "eth0", "onlink")
    index = json.loads(ip("-j", "link", "show", "eth0"))[0]["ifindex"]
    uplink = Uplink("eth0", index, (bytes([10, 1, 10, 0, 24]),))
    table = Table(title=f"FIB installation, medians of {runs} runs, milliseconds")
    columns = ("routes", "ip -batch", "ip -batch nhid", "agent", "of that decoding", "routes/s", "ratio")
    for column in (*columns, "adopt", "failover", "remove"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory() as folder:
        for count in SIZES:
            t = measure(count, runs, uplink, Path(folder))
            cells = [f"{t[name] * 1000:,.1f}" for name in ("ip", "ip nhid", "agent", "decode")]
            cells += [f"{count / t['agent']:,.0f}", f"{min(t['ip'], t['ip nhid']) / t['agent']:.1f}"]
            cells += [f"{t[name] * 1000:,.1f}" for name in ("adopt", "failover", "remove")]
            table.add_row(f"{count:,}", *cells)
    Console(width=120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(INSIDE, action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.in_namespace:
        inside(options.runs)
        return
    unshare = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
    command = [*unshare, sys.executable, "-m", "tests.bench.fib", "--runs", str(options.runs), INSIDE]
    sys.exit(subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    main()
