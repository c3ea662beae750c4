"""FRR's package in the nodes' image."""

from __future__ import annotations

import re
from pathlib import Path


def prepare(root: Path) -> None:
    """See `Installation`. images/node/Dockerfile does the same."""
    (root / "etc/frr").chmod(0o755)  # FRR gives up the capability to pass a closed folder
    # FRR refuses to start unless its terminal group has the user that it runs as, here root, and gives its sockets to
    # that group, which is root's own since no other exists in a single-id user namespace.
    group = root / "etc/group"
    group.write_text(re.sub(r"^frrvty:.*$", "frrvty:x:0:root", group.read_text(), flags=re.MULTILINE))
