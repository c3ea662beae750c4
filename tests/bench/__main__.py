"""All figures, one after the other: `make bench`. Each benchmark compares, or splits, within its own run."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

BENCHMARKS = ("up", "pipeline", "transit", "fib", "failover", "runtimes")


def main() -> int:
    """Run every benchmark; returns the exit status of the first that fails, else 0."""
    load = os.getloadavg()[0]
    print(f"kernel {platform.release()}, Python {platform.python_version()}, {os.cpu_count()} cores, load {load:.1f}")
    for name in BENCHMARKS:
        print(f"\n## {name}", flush=True)
        status = subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], check=False).returncode
        if status != 0:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
