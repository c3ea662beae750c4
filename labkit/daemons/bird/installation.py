"""BIRD's package in the nodes' image."""

from __future__ import annotations

from pathlib import Path


def prepare(root: Path) -> None:
    """See `Installation`. images/node/Dockerfile does the same."""
    folder = root / "etc/bird"
    folder.chmod(0o755)
    (folder / "bird.conf").unlink(missing_ok=True)  # an example, with which BIRD would start
