"""`warm-client MODULE ARGUMENT...`: have the sandbox's warm process fork a Python service, and be it towards s6.

It passes signals on and ends as the service does. If the warm process is gone, it starts the service itself.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # what `signal` adds to it takes longer to import than all of this
import _socket
import os
import sys

TYPE_CHECKING = False  # the module typing takes longer to import than all of this
if TYPE_CHECKING:
    from typing import NoReturn

SOCKET = "/run/labkit-warm.sock"
PASSED_ON = (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP, _signal.SIGQUIT, _signal.SIGUSR1, _signal.SIGUSR2)
LISTENER = 3
_DESCRIPTORS = (0, 1, 2, LISTENER, 9)
"""The standard streams, a socket from `listening`, and the lock that says that the node lives."""


def main() -> NoReturn:
    """Ask for the service, and end with it."""
    open_ones = [descriptor for descriptor in _DESCRIPTORS if _is_open(descriptor)]
    warm = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        warm.connect(SOCKET)
    except OSError:
        _start_alone()
    head = "\0".join([" ".join(map(str, open_ones)), os.getcwd(), *sys.argv[1:]])
    environment = b"\0".join(name + b"=" + value for name, value in os.environb.items())
    rights = b"".join(descriptor.to_bytes(4, sys.byteorder) for descriptor in open_ones)
    for number in PASSED_ON:
        _signal.signal(number, lambda number, _: warm.send(bytes([number])))
    warm.sendmsg([head.encode(), b"\0\0", environment], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
    if LISTENER in open_ones:
        os.close(LISTENER)  # or peers would still be accepted when the service is no more
    try:
        status = warm.recv(4)
    except ConnectionError:
        status = b""
    if not status:
        sys.exit("warm-client: the warm process has ended")
    code = os.waitstatus_to_exitcode(int.from_bytes(status, sys.byteorder))
    if code < 0:
        if -code in PASSED_ON:
            _signal.signal(-code, _signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


def _start_alone() -> NoReturn:
    os.execvp("python3", ["python3", "-m", *sys.argv[1:]])  # noqa: S606 - no shell is wanted


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
