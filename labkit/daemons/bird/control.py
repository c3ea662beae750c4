"""The commands that change a BIRD while it runs."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

from labkit.daemons.protocol import Command

_ORIGINATE = "/opt/labkit/lib/bird-originate"
"""Changes the static protocol `originated` of the node's bird.conf, and has BIRD read it."""


def advertise(asn: int, prefixes: Iterable[IPv4Network]) -> Command:  # noqa: ARG001 - BIRD's has no part in it
    """Originate prefixes."""
    return (_ORIGINATE, "advertise", *map(str, prefixes))


def withdraw(asn: int, prefixes: Iterable[IPv4Network]) -> Command:  # noqa: ARG001 - as above
    """Originate prefixes no longer."""
    return (_ORIGINATE, "withdraw", *map(str, prefixes))


def shut_down(asn: int, neighbours: Iterable[IPv4Address]) -> Command:  # noqa: ARG001 - as above
    """End sessions, with an administrative shutdown (RFC 4486)."""
    return _each("disable", neighbours)


def start(asn: int, neighbours: Iterable[IPv4Address]) -> Command:  # noqa: ARG001 - as above
    """Let sessions that were shut down be set up again."""
    return _each("enable", neighbours)


def changed_by_hand() -> Command:
    """Print as JSON the statements that were added to the running configuration, and removed from it, by hand."""
    return ("/opt/labkit/lib/by-hand", "bird")


def refresh(neighbour: IPv4Address | None = None) -> Command:
    """Send and ask for all routes again (RFC 2918), with one neighbour or, for None, all of them."""
    return birdc("reload", _pattern(neighbour))


def birdc(*words: str) -> Command:
    """The command that has BIRD carry out one line."""
    return ("birdc", *words)


def _each(verb: str, neighbours: Iterable[IPv4Address]) -> Command:
    """One birdc for all: it reads a line for each neighbour."""
    lines = "\\n".join(f"{verb} {_pattern(address)}" for address in neighbours)
    return ("sh", "-c", f"printf '{lines}\\n' | birdc")


def _pattern(neighbour: IPv4Address | None) -> str:
    """What the names of neighbours' protocols match: see `config.protocol_name`."""
    return f'"*:{neighbour or "*"}"'
