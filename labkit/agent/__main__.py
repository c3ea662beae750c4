"""`python3 -m labkit.agent`, in a VM's node; `LABKIT_INTERFACE` are its NICs, the primary one first (default: eth0)."""

from __future__ import annotations

import os

from labkit.agent.agent import Agent
from labkit.feed.service import begin


def main() -> None:
    """Run the agent until it is killed. Its routes outlive it."""
    Agent(begin("agent"), os.environ.get("LABKIT_INTERFACE", "eth0").split()).run()


if __name__ == "__main__":
    main()
