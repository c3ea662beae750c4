"""The controller's process: `python3 -m labkit.controller`, a service of the lab's controller node."""

from __future__ import annotations

import asyncio
import hashlib
import signal
from pathlib import Path

from labkit.controller.api import Api
from labkit.controller.controller import Controller
from labkit.feed.service import begin
from labkit.lab.load import load
from labkit.paths import CONTROLLERS_API, CONTROLLERS_LAB_FILE

RUN = Path("/run/lab")
STORE = Path("/var/lib/labkit")


async def serve() -> None:
    """Run the lab's platform until SIGTERM or SIGINT."""
    settings = begin("controller")
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    version = hashlib.sha256(Path(CONTROLLERS_LAB_FILE).read_bytes()).hexdigest()
    controller = Controller(load(CONTROLLERS_LAB_FILE), RUN, STORE, version)
    api = Api(controller)
    await controller.start()
    await api.start(Path(CONTROLLERS_API))
    settings.mark_ready()
    await stopped.wait()
    await api.stop()
    await controller.stop()


def main() -> None:
    """Run the controller until it is asked to stop; the nodes keep what they have."""
    asyncio.run(serve())


if __name__ == "__main__":
    main()
