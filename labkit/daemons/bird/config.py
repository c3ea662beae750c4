"""A speaker as `bird.conf`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields

from labkit.daemons.bird import policy as export_policy
from labkit.daemons.protocol import Command, ConfigurationFile
from labkit.daemons.speaker import EBGP_MULTIHOP, CustomerSpeaker, Neighbour, Speaker, StaticRouter
from labkit.names import handle

PATH = "/etc/bird/labkit.conf"
"""Where the rendered configuration is; the service `bird` copies it to where BIRD reads it."""


def files(speaker: Speaker | StaticRouter) -> tuple[ConfigurationFile, ...]:
    """BIRD's one file.

    Raises:
        TypeError: it is an instance of a gateway, a circuit's edge router, or without BGP.
    """
    if not isinstance(speaker, CustomerSpeaker):
        raise TypeError(f"{speaker.name}: BIRD routes in NVAs with BGP alone")
    context = {field.name: getattr(speaker, field.name) for field in fields(speaker)} | {"hops": EBGP_MULTIHOP}
    context |= {
        "protocol_name": protocol_name,
        "originated": tuple(export_policy.originated_lines(speaker)),
        "policy": tuple(export_policy.policy_lines(speaker)),
        "filters": {each.address: export_policy.export_filter(speaker, each) for each in speaker.neighbours},
    }
    return (ConfigurationFile("bird.conf", PATH, "bird.conf.j2", context),)


def policy(speaker: CustomerSpeaker) -> str:
    """All of a bird.conf that an operator changes while the lab runs, in the same form."""
    return export_policy.policy(speaker)


def parser(folder: str) -> Command:
    """BIRD itself, which only reads the file."""
    return ("usr/sbin/bird", "-p", "-c", f"{folder}/bird.conf")


_REFUSED = re.compile(r"^bird: [^\n]*bird\.conf:(?P<line>\d+):\d+ (?P<text>.*)$", re.MULTILINE)


def mistakes(configuration: str, output: str) -> Iterator[tuple[int, str]]:  # noqa: ARG001 - the output has all of it
    """See `Config`: BIRD stops at the first."""
    yield from ((int(found["line"]), found["text"]) for found in _REFUSED.finditer(output))


def protocol_name(neighbour: Neighbour) -> str:
    """The name of a neighbour's protocol in BIRD, such as `rs1-0:10.1.0.4`: for people, and a pattern for commands."""
    return f"{handle(neighbour.name)}:{neighbour.address}"
