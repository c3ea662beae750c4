"""`python3 -m labkit.gateway`, in the node of a gateway's instance.

Environment: `LABKIT_NODE` (the node's name), `LABKIT_BMP_PORT` (where FRR reports).
"""

from __future__ import annotations

import logging
import os
import sys

from labkit.gateway.service import SERVICE, Service, Settings
from labkit.ready import clear_ready


def main() -> None:
    """Run the service until it is killed. FRR stays as it was."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="gateway: %(message)s")
    clear_ready(SERVICE)
    env = os.environ
    Service(Settings(env["LABKIT_NODE"], int(env["LABKIT_BMP_PORT"]))).run()


if __name__ == "__main__":
    main()
