"""Files of ARM resources on disk: read for an import, and written by an export."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from labkit.arm.intake import BEYOND
from labkit.errors import InvalidInput

LONGEST = 1 << 26
"""The bytes of a file: `az network nic list` of 10,000 NICs has a quarter of that."""


def resource_files(paths: Iterable[Path]) -> list[tuple[str, str]]:
    """The names and texts of files, and of those in folders: `*.json`, and what an export has beyond resources.

    Raises:
        InvalidInput: one can't be read, or there is none.
    """
    found = [(str(file), _text(file)) for path in paths for file in _files(path)]
    if not found:
        raise InvalidInput(
            "labkit import: there are no JSON files.", "`labkit import --script` prints what makes some."
        )
    return found


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write files into a folder that is new or empty.

    Raises:
        InvalidInput: there is something in it.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(f"{folder} is not an empty folder.", "Name one that is new or empty.")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def write_new(file: Path, text: str) -> None:
    """Write a file that is not there yet.

    Raises:
        InvalidInput: it is there, or can't be written.
    """
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        raise InvalidInput(f"{file} exists.", "Remove it, or name another one: --out FILE.") from None
    except OSError as error:
        raise InvalidInput(f"{file} can't be written: {error.strerror}.", "Name another one: --out FILE.") from None


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    yield from sorted(path.glob("*.json"))
    yield from path.glob(BEYOND)


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            data = opened.read(LONGEST + 1)
    except OSError as error:
        raise InvalidInput(f"{file} can't be read: {error.strerror}.", "Check the path and its rights.") from None
    if len(data) > LONGEST:
        raise InvalidInput(f"{file} is longer than {LONGEST:,} bytes.", "Export one subscription or group at a time.")
    try:
        # PowerShell writes UTF-16, and a byte order mark.
        return data.decode("utf-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput(f"{file} is not UTF-8 text.", "Save it as UTF-8.") from None
