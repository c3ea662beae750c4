"""A command that gets its listening socket from `labkit.start.listening`."""

from __future__ import annotations

import socket
import subprocess
import sys

LISTENING = [sys.executable, "-c", "from labkit.start.listening import main; main()"]
SERVICE = (
    "import os, socket, sys\n"
    "sys.stdin.readline()\n"
    "listener = socket.socket(fileno=int(os.environ['LABKIT_LISTENER']))\n"
    "listener.accept()[0].sendall(b'served')\n"
)


def test_who_connects_while_the_command_starts_is_served() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*LISTENING, "127.0.0.1", str(port), sys.executable, "-c", f"print('starting', flush=True)\n{SERVICE}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdin
        assert process.stdout.readline() == "starting\n"
        with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
            process.stdin.write("\n")
            process.stdin.flush()
            assert peer.recv(100) == b"served"
    assert process.returncode == 0


def test_an_address_that_is_taken_is_an_error_of_the_service() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run([*LISTENING, "127.0.0.1", port, "true"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Address already in use" in done.stderr
