"""Root in a node of a lab: what it reaches of the platform and of the machine, and that the rest of the lab goes on."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import partial
from operator import eq

import pytest

from labkit.pytest import RunningLab
from labkit.runtimes.select import SANDBOX
from tests.e2e.in_lab import run, service_pid
from tests.e2e.test_overview import BRANCH, SDWAN, VMS, fib, lab
from tests.e2e.waiting import eventually

__all__ = ["lab"]

SERVICES = (("rs1-0", "exabgp"), ("controller", "controller"), ("vm1", "agent"), ("vm2", "agent"), ("vnet1", "fabric"))


@pytest.fixture(autouse=True)
def _nobody_else_is_harmed(lab: RunningLab) -> Iterator[None]:
    """Every service is the process that it was, and routes are what they were."""
    before = [service_pid(lab, *which) for which in SERVICES]
    yield
    assert [service_pid(lab, *which) for which in SERVICES] == before
    assert [fib(lab, vm)[BRANCH] for vm in VMS] == [(SDWAN,)] * len(VMS)


def python(lab: RunningLab, node: str, program: str) -> str:
    return run(lab, node, "python3", "-c", program)


def test_an_invalid_request_ends_no_service(lab: RunningLab) -> None:
    """All services of a sandbox's nodes are forks of one process, which every node can ask."""
    if lab.client.record.runtime != SANDBOX:
        pytest.skip("each container starts its services itself")
    python(
        lab,
        "vm1",
        "import socket\n"
        "for request in (b'\\xff', b'0', b'0\\0/', b'9 9\\0/\\0labkit.agent\\0\\0', b'\\0' * 200_000):\n"
        "    warm = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        "    warm.connect('/run/labkit-warm.sock')\n"
        "    warm.send(request)\n"
        "    assert warm.recv(4) == b'', request\n",
    )


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        '{"type": "hello", "node": "vm2", "role": "agent"}',
        '{"type": "hello", "node": "vm1", "role": "fabric"}',
    ],
)
def test_a_feed_is_for_its_own_node(lab: RunningLab, text: str) -> None:
    """Nobody takes another one's part; that the right agent lost nothing, `_nobody_else_is_harmed` has."""
    python(lab, "vm1", f"{_FEED}\nfeed.send({text!r})\ntry:\n    feed.recv()\nexcept ConnectionClosed:\n    pass")


def test_an_invalid_message_ends_a_feed_and_nothing_else(lab: RunningLab) -> None:
    hello = '{"type": "hello", "node": "vm1", "role": "agent"}'
    for number, text in enumerate(('{"type": "applied", "seq": "x"}', "[" * 100_000, '{"type": "delta"}')):
        answered = f"feed.send({hello!r})\nfeed.send({text!r})\ntry:\n    while True:\n        feed.recv()\n"
        python(lab, "vm1", f"{_FEED}\n{answered}except ConnectionClosed:\n    pass")
        eventually(lambda: refused(lab, "vm1"), partial(eq, number + 1))
    eventually(lambda: lab.client.get("status")["nodes"]["vm1"]["connected"], bool)


def refused(lab: RunningLab, node: str) -> int:
    """How many messages of a node the controller has refused."""
    events = lab.client.events(follow=False)
    return sum(e.node == node and "its message is not valid" in e.text for e in events)


_FEED = (
    "from websockets.sync.client import unix_connect\nfrom websockets.exceptions import ConnectionClosed\n"
    "feed = unix_connect('/run/labkit/feed.sock', 'ws://controller/')"
)


def test_a_node_writes_nothing_where_it_meets_the_controller(lab: RunningLab) -> None:
    """The folder is on the disk of the machine. A router, which has SYS_ADMIN, could mount it otherwise."""
    for node in ("vm1", "rs1-0", "vnet1", "security-nva"):
        for change in ("touch /run/labkit/new", "dd if=/dev/zero of=/run/labkit/alive", "rm /run/labkit/feed.sock"):
            done = lab.client.run(node, "sh", "-c", change)
            assert done.rc != 0
            assert "Read-only file system" in done.stderr or "No such file" in done.stderr


def test_the_api_is_for_the_operator(lab: RunningLab) -> None:
    """It is a socket in the controller's node, which has no link to any other."""
    assert lab.client.run("controller", "test", "-S", "/run/labkit-api.sock").rc == 0
    for node in ("vm1", "security-nva", "rs1-0", "vnet1"):
        assert lab.client.run(node, "test", "-e", "/run/labkit-api.sock").rc != 0
    assert run(lab, "controller", "ls", "/sys/class/net") == "lo"


def test_no_node_reaches_the_machine_or_what_is_behind_it(lab: RunningLab) -> None:
    """A server on every address of the machine is not there for a node, the lab's own "internet" included."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), 5):
            server.accept()[0].close()
        addresses = [
            "127.0.0.1",
            *{found[4][0] for found in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)},
        ]
        for node in ("vm1", "security-nva", "internet", "controller"):
            attempts = (
                "import socket\n"
                f"for address in {addresses!r}:\n"
                "    try:\n"
                f"        socket.create_connection((address, {port}), 0.5)\n"
                "    except OSError:\n"
                "        continue\n"
                "    print(address)\n"
            )
            assert python(lab, node, attempts) == ""
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
