"""Lab files: from a path or a text to a `Lab`, or to every mistake at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from labkit.lab.build import build
from labkit.lab.check import check
from labkit.lab.draft import read as read_draft
from labkit.lab.model import Lab
from labkit.lab.problems import LabFileError, Problem, Severity, in_order
from labkit.lab.yaml_source import parse


@dataclass(frozen=True, slots=True)
class Loaded:
    """A lab, and what its file does that deserves a second look. `name` is the file's, for `Problem.show`."""

    lab: Lab
    warnings: tuple[Problem, ...]
    name: str


def load(path: Path | str) -> Lab:
    """The lab of a file. See `read` for the warnings.

    Raises:
        LabFileError: the file can't be read or has mistakes; it holds all of them.
    """
    return read(path).lab


def load_text(text: str, name: str) -> Lab:
    """The lab of a text; `name` stands for the file in messages.

    Raises:
        LabFileError: the text has mistakes; it holds all of them.
    """
    return read_text(text, name).lab


def read(path: Path | str) -> Loaded:
    """The lab of a file, and warnings.

    Raises:
        LabFileError: the file can't be read or has mistakes; it holds all of them.
    """
    name = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise LabFileError(name, [Problem(0, "there is no such file.", "Check the path.")]) from None
    except IsADirectoryError:
        raise LabFileError(name, [Problem(0, "this is a directory.", "Name the lab file in it.")]) from None
    except UnicodeDecodeError as error:
        text = f"this is not UTF-8 text (byte {error.start})."
        raise LabFileError(name, [Problem(0, text, "Save the file as UTF-8 text.")]) from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise LabFileError(name, [Problem(0, f"can't be read: {reason}.", "Check the path and its rights.")]) from None
    return read_text(text, name)


def read_text(text: str, name: str) -> Loaded:
    """The lab of a text, and warnings.

    Raises:
        LabFileError: the text has mistakes; it holds all of them.
    """
    draft = read_draft(parse(text))
    addresses = check(draft)
    problems = in_order(draft.problems)
    errors = [p for p in problems if p.severity is Severity.ERROR]
    if errors:
        raise LabFileError(name, errors)
    warnings = tuple(p for p in problems if p.severity is Severity.WARNING)
    return Loaded(build(draft, addresses), warnings, name)
