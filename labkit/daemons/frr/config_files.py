"""frr.conf cut into what each daemon reads at its start. Pure.

vtysh would deal the lines out to daemons that run already. Here each has a file of its own, with the same number of
lines, so that what it finds wrong in a line is wrong in that line of frr.conf.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

DAEMONS = ("mgmtd", "zebra", "staticd", "bgpd")
"""In the order in which they start."""

_ERRORS = "log file {} errors"
_ZEBRAS_LAST = "no zebra nexthop kernel enable"
"""Routes go to the kernel with their next hops in them, not with the numbers of nexthop objects.

When a link goes down, the kernel removes objects and groups of them. When it is up again, zebra makes the objects again
but not the groups (FRR 10.3): their routes were missing from the kernel until they changed.
"""

_EVERYBODYS = ("frr", "hostname", "log")
_MGMTDS = ("interface", "vrf")
_MGMTDS_OF_IP = ("nht", "protocol", "route")
_MISTAKE = re.compile(r"\] (?P<what>[^\]]*) on config line (?P<line>\d+): (?P<text>.*)")


def config_files(text: str, errors: Mapping[str, str]) -> dict[str, str]:
    """The parts of a frr.conf by daemon, for the daemons in `errors`: the files that their mistakes go to.

    zebra and staticd have theirs from mgmtd, bgpd reads all that is not mgmtd's. A route-map is zebra's, and so
    mgmtd's, if `ip protocol` names it. What nobody knows is bgpd's to refuse.
    """
    lines = text.splitlines()
    parts = {daemon: [_ERRORS.format(file)] for daemon, file in errors.items()}
    for line, owners in zip(lines, _owners(lines), strict=True):
        for daemon, part in parts.items():
            part.append(line if daemon in owners else "!")
    if "zebra" in parts:
        parts["zebra"].append(_ZEBRAS_LAST)
    return {daemon: "\n".join(part) + "\n" for daemon, part in parts.items()}


def _owners(lines: list[str]) -> Iterator[tuple[str, ...]]:
    zebras_maps = {words[-1] for words in map(str.split, lines) if words[1:2] == ["protocol"] and "route-map" in words}
    owners: tuple[str, ...] = ()
    for line in lines:
        words = line.split()
        if words and not line.startswith((" ", "!", "#", "exit")):
            owners = _owners_of(words, zebras_maps)
        yield owners


def _owners_of(words: list[str], zebras_maps: set[str]) -> tuple[str, ...]:
    first, second = words[0], words[1] if len(words) > 1 else ""
    if first in ("end", "service"):
        return ()  # for vtysh
    if first in _EVERYBODYS:
        return DAEMONS
    if first == "zebra":
        return ("zebra",)
    if first in _MGMTDS or (first in ("ip", "ipv6") and second in _MGMTDS_OF_IP):
        return ("mgmtd",)
    if first == "route-map" and second in zebras_maps:
        return ("mgmtd",)
    return ("bgpd",)


def mistakes(errors: str) -> Iterator[str]:
    """What a daemon could not read, by the line of frr.conf, given its errors as they are logged."""
    for found in _MISTAKE.finditer(errors):
        # Before the first line of frr.conf is the one that names the file for errors.
        yield f"line {int(found['line']) - 1}: {found['what']}: {found['text'].strip()}"
