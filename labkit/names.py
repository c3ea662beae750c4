"""Names as Azure has them, and the short handles by which Linux knows what has them.

Azure takes names of up to 64 or 80 characters; Linux ends those of interfaces at 15, and a host's name is of letters,
digits and hyphens. What labkit makes of an object (a node, its container, host name and folder, an interface of a
fabric) has the object's handle for a name. docs/names.md has the rule for users.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$"
"""What Azure takes for the name of a network's object, with one of `LENGTHS` [azure-names]."""

LENGTHS = range(1, 81)
NETWORK_LENGTHS = range(2, 65)
"""Of a virtual network's name."""
MACHINE_LENGTHS = range(1, 65)
"""Of a virtual machine's name, and of an NVA's, which is one."""

LONGEST_HANDLE = 15
"""Linux ends an interface's name there (IFNAMSIZ, with its final zero byte)."""

_PLAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?")
# Names of interfaces that Linux makes itself, or of files next to them in /proc/sys/net.
_LINUX = re.compile(
    r"(?i:lo|all|default|bridge|br\d*|eth\d+|tunl0|gre0|gretap0|erspan0|sit0|ip6tnl0|ip6gre0|ip_vti0|ip6_vti0)"
)
_LETTERS = "bcdfghjkmnpqrstvwxz"
_ALPHABET = f"{_LETTERS}23456789"
_DIGEST = 5
_TAIL = re.compile(r"(?<=[-_.])(\d{1,3}|host)$")
_MADE = re.compile(rf"[a-z0-9-]{{1,6}}-[{_LETTERS}][{_ALPHABET}]{{{_DIGEST - 1}}}(-\d{{1,3}}|-host)?")


def is_valid(name: str, lengths: range = LENGTHS) -> bool:
    """Whether Azure takes a name for an object whose names have these lengths [azure-names]."""
    return len(name) in lengths and re.fullmatch(PATTERN, name) is not None


def handle(name: str) -> str:
    """The handle of a name: letters, digits and hyphens, 15 at most.

    It is the name itself if that can be the name of a host and of an interface. Otherwise it is made: the beginning of
    the name, a hyphen, five characters that are a hash of the whole, and the number at its end, or `-host`, if it has
    one. A name that looks like a handle that is made has one made of it as well, so that no name is the handle of
    another. Names that differ in case alone may share a handle.
    """
    plain = len(name) <= LONGEST_HANDLE and _PLAIN.fullmatch(name) is not None
    return name if plain and not _LINUX.fullmatch(name) and not _MADE.fullmatch(name.lower()) else _made(name)


def interface(machine: str, number: int) -> str:
    """The interface of a fabric that leads to a machine's NIC of this number: the machine's handle, or `handle.1`."""
    if number == 0:
        return handle(machine)
    found = f"{handle(machine)}.{number}"
    # No machine has a slash in its name, so that the handle is no other machine's.
    return found if len(found) <= LONGEST_HANDLE else _made(f"{machine}/.{number}")


def in_any_case(text: str, names: Iterable[str]) -> str | None:
    """Which of `names` is `text`, whatever its case; None if none is."""
    known = [*names]
    folded = text.casefold()
    return text if text in known else next((name for name in known if name.casefold() == folded), None)


def meant(text: str, names: Iterable[str]) -> str | None:
    """Which of `names` is meant by `text`: the one so written, in whatever case, or the one with this handle.

    None if it is none of them. `machine/NIC` is known by the handle of the machine as well.
    """
    known = [*names]
    folded = text.casefold()
    by_handle = (name for name in known if _by_handle(name).casefold() == folded)
    return in_any_case(text, known) or next(by_handle, None)


def node(text: str, handles: Iterable[str]) -> str | None:
    """Which of the handles of nodes is meant by `text`, the node's name or its handle, in whatever case; None if none.

    A name comes before a handle, as with `meant`.
    """
    known = {each.casefold(): each for each in handles}
    return known.get(handle(text).casefold()) or known.get(text.casefold())


def _by_handle(name: str) -> str:
    machine, slash, nic = name.partition("/")
    return f"{handle(machine)}{slash}{nic}"


def _made(name: str) -> str:
    stem, *tail = _TAIL.split(name.lower())[:2]
    start = re.sub(r"[^a-z0-9]+", "-", stem)[: 4 if tail else 6].strip("-")
    return "-".join((start, _digest(stem), *tail))


def _digest(text: str) -> str:
    number = int.from_bytes(hashlib.sha256(text.encode(errors="surrogateescape")).digest()[:8])
    number, first = divmod(number, len(_LETTERS))
    letters = [_LETTERS[first]]
    for _ in range(_DIGEST - 1):
        number, each = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[each])
    return "".join(letters)


def mentions(line: str, interfaces: Iterable[str]) -> bool:
    """Whether a command line has the name of one of the interfaces in it, as a word."""
    return any(re.search(rf"(?<![\w.-]){re.escape(each)}(?![\w.-])", line) for each in interfaces)
