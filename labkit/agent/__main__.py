"""`python3 -m labkit.agent`, in a VM's node; `LABKIT_INTERFACE` are its NICs, the primary one first (default: eth0).

With `LABKIT_NIC_TABLES=1` each NIC has a routing table of its own.
"""

from __future__ import annotations

import os

from labkit.agent.agent import Agent
from labkit.feed.service import begin


def main() -> None:
    """Run the agent until it is killed. Its routes outlive it."""
    interfaces = os.environ.get("LABKIT_INTERFACE", "eth0").split()
    Agent(begin("agent"), interfaces, tables=os.environ.get("LABKIT_NIC_TABLES") == "1").run()


if __name__ == "__main__":
    main()
