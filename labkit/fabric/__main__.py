"""`python3 -m labkit.fabric`, in a virtual network's node, with NET_ADMIN."""

from __future__ import annotations

from labkit.fabric.service import FabricService
from labkit.feed.service import begin


def main() -> None:
    """Run the fabric until it is killed. What is programmed stays."""
    FabricService(begin("fabric")).run()


if __name__ == "__main__":
    main()
