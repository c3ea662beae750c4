"""A node's first process: `node-init SERVICE...`.

Starts the named services of /opt/labkit/services under s6 and stays to supervise them, as s6-svscan; it may be PID 1
or not. What the services print goes to the node's own output. SIGTERM stops them in order and ends the node.

A service may need another one (its file `needs`), which is started with it and opens its `gate` when it may run.
"""

from __future__ import annotations

import fcntl
import os
import sys

TYPE_CHECKING = False  # the module typing takes longer to import than all of this
if TYPE_CHECKING:
    from typing import NoReturn

_SERVICES = "/opt/labkit/services"
_SCAN = "/run/labkit-services"
_READY = "/run/labkit-ready"
_PLATFORM = "/run/labkit"
_LOCK_DESCRIPTOR = 9
_UNKNOWN_SERVICE = 100


def main() -> NoReturn:
    """Become the supervisor of the services that the command line names."""
    _lock()
    # A container that is switched on again finds its former /run.
    for folder in (_SCAN, _READY, "/run/frr", "/run/bird"):
        _remove(folder)
        os.makedirs(folder)
    os.mkdir(f"{_SCAN}/.s6-svscan")
    names = sys.argv[1:]
    for name in names:
        names += [needed for needed in _make_service(name) if needed not in names]
    # -t0: never look for new services by itself.
    os.execvp("s6-svscan", ["s6-svscan", "-t0", _SCAN])  # noqa: S606 - no shell is wanted


def _lock() -> None:
    """Take the lock that shows that this node lives.

    Every process of the node inherits its descriptor, so the kernel frees the lock when the last one is gone, however
    it died. The file is there from the beginning: a node has nothing to write where it meets the controller.
    """
    try:
        descriptor = os.open(f"{_PLATFORM}/alive", os.O_RDONLY)
    except FileNotFoundError:
        return
    os.dup2(descriptor, _LOCK_DESCRIPTOR)
    if descriptor != _LOCK_DESCRIPTOR:
        os.close(descriptor)
    fcntl.flock(_LOCK_DESCRIPTOR, fcntl.LOCK_EX)


def _make_service(name: str) -> list[str]:
    """Make the folder from which s6 runs a service; returns the services that it needs."""
    source, folder = f"{_SERVICES}/{name}", f"{_SCAN}/{name}"
    if "/" in name or not os.path.isdir(source):
        sys.stderr.write(f"node-init: no service named {name}\n")
        sys.exit(_UNKNOWN_SERVICE)
    os.mkdir(folder)
    for entry in os.listdir(source):
        os.symlink(f"{source}/{entry}", f"{folder}/{entry}")
    try:
        with open(f"{source}/needs") as file:
            needed: list[str] = file.read().split()
    except FileNotFoundError:
        return []
    os.mkfifo(f"{folder}/gate")
    return needed


def _remove(folder: str) -> None:
    for path, _, files in os.walk(folder, topdown=False):
        for file in files:
            os.unlink(f"{path}/{file}")
        os.rmdir(path)
