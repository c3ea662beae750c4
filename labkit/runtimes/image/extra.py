"""Debian packages that the user wants in nodes next to labkit's own: chosen once, in every image built from then on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from labkit.errors import EnvironmentProblem, InvalidInput
from labkit.paths import state_home
from labkit.small_files import read_small_file

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]*[a-z0-9+]")
"""The name of a Debian package. apt would take `name-` for one to be removed."""


def file() -> Path:
    """Where the choice is kept: a package a line."""
    return state_home() / "image-packages.txt"


def chosen() -> tuple[str, ...]:
    """The packages that were chosen, sorted; none if nobody chose any.

    Raises:
        InvalidInput: the file can't be read, or something in it is not a package's name.
    """
    try:
        return checked(read_small_file(file()).split())
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{file()} can't be read: {error}.", "It has a Debian package a line. Remove it.") from None
    except InvalidInput as wrong:
        raise InvalidInput(f"{file()}: {wrong.message}", "Correct it, or remove the file.") from None


def choose(packages: Iterable[str]) -> None:
    """Keep a choice in place of the former one.

    Raises:
        EnvironmentProblem: it can't be written.
    """
    lines = "".join(f"{name}\n" for name in packages)
    try:
        if not lines:
            file().unlink(missing_ok=True)
            return
        file().parent.mkdir(parents=True, exist_ok=True)
        fresh = file().with_suffix(".new")
        fresh.write_text(lines, encoding="utf-8")
        fresh.rename(file())
    except OSError as error:
        raise EnvironmentProblem(
            f"the choice of packages can't be kept: {error.filename}: {error.strerror}.",
            "Free some space there, or store labkit's files elsewhere: XDG_STATE_HOME.",
        ) from error


def checked(names: Iterable[str]) -> tuple[str, ...]:
    """The names, sorted, each once.

    Raises:
        InvalidInput: one of them can't be the name of a Debian package.
    """
    found = sorted(dict.fromkeys(names))
    for name in found:
        if not _PACKAGE.fullmatch(name):
            raise InvalidInput(f"{name!r} is not the name of a Debian package.", "Write names such as nginx-light.")
    return tuple(found)
