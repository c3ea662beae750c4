"""The figures, one after the other: `make bench`, or some of them: `make bench PARTS="up fib"`.

Each benchmark compares, or splits, within its own run.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys

BENCHMARKS = ("up", "pipeline", "transit", "fib", "failover", "runtimes")


def main() -> int:
    """Run every benchmark; returns the exit status of the first that fails, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(BENCHMARKS))
    parts = parser.parse_args().parts or BENCHMARKS
    for name in parts:
        if name not in BENCHMARKS:
            parser.error(f"{name!r} is not a part; the parts are {', '.join(BENCHMARKS)}")
    load = os.getloadavg()[0]
    print(f"kernel {platform.release()}, Python {platform.python_version()}, {os.cpu_count()} cores, load {load:.1f}")
    for name in parts:
        print(f"\n## {name}", flush=True)
        status = subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], check=False).returncode
        if status != 0:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
