"""`python3 -m labkit.gateway`, in the node of a gateway's instance.

Environment: `LABKIT_DAEMON` (its BGP daemon), `LABKIT_BMP_PORT` (where the daemon reports to).
"""

from __future__ import annotations

import os

from labkit.daemons.registry import DAEMONS
from labkit.feed.service import begin
from labkit.gateway.service import GatewayService


def main() -> None:
    """Run the service until it is killed. The daemon stays as it is."""
    daemon = DAEMONS[os.environ["LABKIT_DAEMON"]]
    assert daemon.gateway is not None, f"{daemon.name} routes in no gateway"
    GatewayService(begin("gateway"), daemon.gateway, daemon.bmp, int(os.environ["LABKIT_BMP_PORT"])).run()


if __name__ == "__main__":
    main()
