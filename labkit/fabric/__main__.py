"""The fabric process: `python3 -m labkit.fabric` in a virtual network's node, with NET_ADMIN.

Environment: LABKIT_NODE, the node's name (default: the host name); LABKIT_LOG, a log level (default: INFO).
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import traceback

from labkit.fabric.service import Service


def _die(error: threading.ExceptHookArgs) -> None:
    # A fabric that is deaf in one ear is worse than one that is started anew and adopts what there is.
    traceback.print_exception(error.exc_value)
    os._exit(1)


def main() -> None:
    """Serve until killed. What is programmed stays."""
    threading.excepthook = _die
    logging.basicConfig(format="%(name)s: %(message)s")
    logging.getLogger("labkit").setLevel(os.environ.get("LABKIT_LOG", "INFO"))
    Service().run(os.environ.get("LABKIT_NODE") or socket.gethostname())


if __name__ == "__main__":
    main()
