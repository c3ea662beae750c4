"""Write images/node/requirements.txt: every wheel that the node image needs, by version and hash.

Usage: python tools/lock_node.py   (needs a package index; run it after a change of images/node/requirements.in)
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from labkit.runtimes.image.python import ARCHITECTURES, platform_options

NODE = Path(__file__).parent.parent / "images" / "node"
HEADER = """\
# Made by `python tools/lock_node.py` from requirements.in; do not edit.
# Wheels for Debian 13's Python 3.13, one hash for each processor architecture.
"""


def resolve(architecture: str) -> dict[tuple[str, str], str]:
    """The wheels that one architecture needs: (name, version) to SHA-256."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    command += [*platform_options(architecture), "--target", "unused", "--requirement", str(NODE / "requirements.in")]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    wheels = {}
    for item in report["install"]:
        name = item["metadata"]["name"].lower().replace("_", "-")
        wheels[name, item["metadata"]["version"]] = item["download_info"]["archive_info"]["hashes"]["sha256"]
    return wheels


def main() -> None:
    """Resolve for every architecture and write the lock file."""
    hashes: dict[tuple[str, str], list[str]] = {}
    for architecture in ARCHITECTURES:
        for package, digest in resolve(architecture).items():
            known = hashes.setdefault(package, [])
            if digest not in known:
                known.append(digest)
    lines = []
    for (name, version), digests in sorted(hashes.items()):
        lines.append(" \\\n".join([f"{name}=={version}", *(f"    --hash=sha256:{digest}" for digest in digests)]))
    (NODE / "requirements.txt").write_text(HEADER + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
