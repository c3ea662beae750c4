"""`python3 -m labkit.agent`, in a VM's node.

Environment: `LABKIT_INTERFACE` (default eth0), `LABKIT_NODE` (the host name), `LABKIT_FEED` (the feed's socket),
`LABKIT_READY` (the file that says the first table is installed).
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from pathlib import Path

from labkit.agent.agent import Agent, Settings
from labkit.feed.client import FEED_SOCKET


def main() -> None:
    """Run the agent until it is killed. Its routes outlive it."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="agent: %(message)s")
    get = os.environ.get
    ready = Path(get("LABKIT_READY", "/run/labkit-ready/agent"))
    ready.unlink(missing_ok=True)
    settings = Settings(
        node=get("LABKIT_NODE", socket.gethostname()),
        interface=get("LABKIT_INTERFACE", "eth0"),
        feed=Path(get("LABKIT_FEED", str(FEED_SOCKET))),
        ready=ready,
    )
    Agent(settings).run()


if __name__ == "__main__":
    main()
