"""BIRD's command line, against a socket of the test's own."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from labkit.daemons.bird.cli import Cli, disabled
from labkit.daemons.errors import NoAnswer


@contextmanager
def bird(*answers: bytes, greeting: bytes = b"0001 BIRD 2.17.6 ready.\n") -> Iterator[tuple[Cli, list[bytes]]]:
    """A connection to what greets and gives these answers, one a line; and the lines that it gets."""
    ours, theirs = socket.socketpair()
    lines: list[bytes] = []

    def serve() -> None:
        with theirs, theirs.makefile("rb") as asked:
            theirs.sendall(greeting)
            for answer in answers:
                lines.append(asked.readline())
                for start in range(0, len(answer), 7):
                    theirs.sendall(answer[start : start + 7])

    thread = Thread(target=serve)
    thread.start()
    with ours:
        yield Cli(ours), lines
    thread.join()


def test_answers_are_read_as_birdc_prints_them() -> None:
    routes = b"1007-Table master4:\n 10.9.0.0/16 unreachable\n1008-\tType: static univ\n0000 \n"
    with bird(routes, b"0013 Daemon is up and running\n") as (cli, lines):
        text = cli.run(("show route all", "show status"))
    assert text == "Table master4:\n10.9.0.0/16 unreachable\n\tType: static univ\n\nDaemon is up and running\n"
    assert lines == [b"show route all\n", b"show status\n"]


def test_a_table_without_the_route_is_an_answer() -> None:
    with bird(b"8001 Network not found\n") as (cli, _):
        assert cli.run(("show route 10.9.0.0/16",)) == "Network not found\n"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"9001 syntax error, unexpected CF_SYM_UNDEFINED\n", "BIRD refuses `x`: syntax error, unexpected CF_SYM_UN"),
        (b"1007-Table mas", "BIRD ended before `x`"),
    ],
)
def test_no_answer(answer: bytes, problem: str) -> None:
    with bird(answer) as (cli, _), pytest.raises(NoAnswer) as error:
        cli.run(("x",))
    assert str(error.value).startswith(problem)


def test_one_that_has_not_read_its_configuration_does_not_greet() -> None:
    with bird(greeting=b"") as (cli, _), pytest.raises(NoAnswer, match="BIRD ended before its greeting"):
        cli.run(("show status",))


def test_protocols_that_are_disabled() -> None:
    shown = """Name       Proto      Table      State  Since         Info
device1    Device     ---        up     2026-11-30 13:45:42.872683
rs1-0:10.1.0.4 BGP        ---        down   2026-11-30 13:45:43.645072
rs1-1:10.1.0.5 BGP        ---        start  2026-11-30 13:45:43.645072  Active        Socket: No route to host
branch:192.168.0.2 BGP        ---        up     2026-11-30 13:45:50.000000  Established
"""
    assert disabled(shown) == ["rs1-0:10.1.0.4"]
