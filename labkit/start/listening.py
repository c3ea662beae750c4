"""`listening ADDRESS PORT COMMAND...`: hand a command its listening socket, as descriptor 3 (LABKIT_LISTENER).

A speaker that only waits for its peers takes a while to start. The kernel takes their connections meanwhile; else
they would be refused, and come again a second later.
"""

from __future__ import annotations

import _socket
import os
import sys

TYPE_CHECKING = False  # the module typing takes longer to import than all of this
if TYPE_CHECKING:
    from typing import NoReturn

DESCRIPTOR = 3
_BACKLOG = 200


def main() -> NoReturn:
    """Listen, and become the command."""
    address, port, *command = sys.argv[1:]
    listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    listener.bind((address, int(port)))
    listener.listen(_BACKLOG)
    os.dup2(listener.fileno(), DESCRIPTOR)
    os.set_inheritable(DESCRIPTOR, True)
    os.execvpe(command[0], command, {**os.environ, "LABKIT_LISTENER": str(DESCRIPTOR)})  # noqa: S606 - no shell is wanted
