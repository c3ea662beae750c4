"""One request to the operator API, from inside the controller's node.

For example: `python3 -m labkit.controller.call GET /v1/status`.

A request body is read from standard input for PUT and POST. The response's body goes to standard output as it comes;
the exit status is 0 for success, 1 when the API refused, 3 when there is no API to talk to.
"""

from __future__ import annotations

import http.client
import socket
import sys

API_SOCKET = "/run/labkit-api.sock"


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over the API's Unix socket."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(API_SOCKET)


def main() -> int:
    """Make the request that the arguments describe."""
    method, path = sys.argv[1:3]
    body = sys.stdin.buffer.read() if method in ("PUT", "POST") else None
    connection = _UnixConnection("localhost")
    try:
        connection.request(method, path, body=body)
    except (FileNotFoundError, ConnectionRefusedError):
        return 3
    response = connection.getresponse()
    while part := response.read1(1 << 16):
        sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()
    return 0 if response.status < 400 else 1


if __name__ == "__main__":
    sys.exit(main())
