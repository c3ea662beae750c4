"""A BGP connection as lines of hex: what comes in on standard input goes out, and the other way round with times.

Keep-alives are its own. It keeps trying to connect until it is let in, and ends with the connection.
"""

from __future__ import annotations

import socket
import sys
import threading
import time


def main(server: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            connection = socket.create_connection((server, 179), timeout=5)
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)  # nothing tells when a far end accepts connections
    connection.settimeout(None)
    threading.Thread(target=feed, args=(connection,), daemon=True).start()
    threading.Thread(target=keep_alive, args=(connection,), daemon=True).start()
    data = b""
    while chunk := receive(connection):
        now = time.time()
        data += chunk
        start = 0
        while len(data) - start >= 19 and len(data) - start >= (size := int.from_bytes(data[start + 16 : start + 18])):
            sys.stdout.write(f"{now} {data[start + 18]} {data[start + 19 : start + size].hex()}\n")
            start += size
        data = data[start:]
        sys.stdout.flush()


def receive(connection: socket.socket) -> bytes:
    """What comes next; b"" at the end, whichever it is."""
    try:
        return connection.recv(1 << 20)
    except ConnectionResetError:
        return b""


def feed(connection: socket.socket) -> None:
    for line in sys.stdin:
        connection.sendall(bytes.fromhex(line.strip()))


def keep_alive(connection: socket.socket) -> None:
    while True:
        time.sleep(20)  # their pace
        connection.sendall(b"\xff" * 16 + b"\x00\x13\x04")


if __name__ == "__main__":
    main(sys.argv[1])
