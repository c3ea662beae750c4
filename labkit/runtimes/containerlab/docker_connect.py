"""Connections to Unix sockets in containers, by a relay that the engine starts there.

The engine has no other way in that obeys the rule of the house: who may run commands in a container may connect, and
nobody else. The relay is Perl, which every Debian has, since it starts in a tenth of the time that Python takes.
"""

from __future__ import annotations

import contextlib
import socket
import threading

from labkit.errors import EnvironmentProblem
from labkit.runtimes.containerlab.docker_engine import engine, translated
from labkit.runtimes.containerlab.docker_exec import start
from labkit.runtimes.protocol import NotListening

_CONNECTED = b"+"
_RELAY = """
socket(my $s, PF_UNIX, SOCK_STREAM, 0) or exit 3;
connect($s, pack_sockaddr_un($ARGV[0])) or exit 3;
syswrite(STDOUT, "+");
sub copy {
    my ($from, $to) = @_;
    while (sysread($from, my $data, 65536)) {
        for (my $at = 0; $at < length $data;) { $at += syswrite($to, $data, length($data) - $at, $at) || exit; }
    }
}
my $pid = fork;
if ($pid) { copy($s, \\*STDOUT); kill 9, $pid; } else { copy(\\*STDIN, $s); shutdown($s, 1); }
"""
_SECONDS = 30.0
_PIECE = 1 << 16


def connect(container: str, node: str, path: str) -> socket.socket:
    """A connection to the Unix socket at `path` in a container, which is a lab's `node`.

    Raises:
        NotListening: nothing listens there.
        EnvironmentProblem: the engine does not answer.
    """
    client = engine()
    with translated():
        made = client.exec_create(container, ["perl", "-MSocket", "-e", _RELAY, path], stdin=True)["Id"]
        try:
            connection, begun = start(made, client.api_version)
        except ConnectionRefusedError as error:
            raise EnvironmentProblem(f"The Docker engine runs no relay on node {node}: {error}", "") from None
    ours, theirs = socket.socketpair()
    threading.Thread(target=_take_out, args=(connection, begun, theirs), daemon=True).start()
    threading.Thread(target=_put_in, args=(theirs, connection), daemon=True).start()
    ours.settimeout(_SECONDS)
    try:
        connected = ours.recv(1) == _CONNECTED
    except TimeoutError:
        connected = False
    if not connected:
        ours.close()
        raise NotListening(f"nothing listens at {path} on {node}.", "Start what should listen.")
    ours.settimeout(None)
    return ours


def _take_out(connection: socket.socket, begun: bytes, theirs: socket.socket) -> None:
    """Copy what the relay writes. Frames are a byte for the stream, three of nothing, four of length, the content."""
    raw = bytearray(begun)
    with contextlib.suppress(OSError), theirs, connection:
        while True:
            while len(raw) >= 8 and len(raw) >= (end := 8 + int.from_bytes(raw[4:8], "big")):
                if raw[0] == 1:
                    theirs.sendall(raw[8:end])
                del raw[:end]
            piece = connection.recv(_PIECE)
            if not piece:
                theirs.shutdown(socket.SHUT_RDWR)
                return
            raw += piece


def _put_in(theirs: socket.socket, connection: socket.socket) -> None:
    """Copy what is to be written to the relay; an end of it is one there, too."""
    with contextlib.suppress(OSError):
        while piece := theirs.recv(_PIECE):
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_WR)
