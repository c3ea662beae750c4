"""`python3 -m labkit.gateway`, in the node of a gateway's instance; FRR reports to the port `LABKIT_BMP_PORT`."""

from __future__ import annotations

import os

from labkit.feed.service import begin
from labkit.gateway.service import Service


def main() -> None:
    """Run the service until it is killed. FRR stays as it is."""
    Service(begin("gateway"), int(os.environ["LABKIT_BMP_PORT"])).run()


if __name__ == "__main__":
    main()
