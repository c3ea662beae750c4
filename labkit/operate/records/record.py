"""Which labs exist on this machine: one record per lab, kept as long as anything of the lab may exist.

A lab's directory appears whole, with its record in it, and disappears whole, by renames. A killed labkit may leave a
directory whose name begins with a dot; it is not taken for a lab, and the next labkit removes it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from labkit.errors import InvalidInput
from labkit.paths import lab_dir, state_home
from labkit.runtimes.select import RUNTIMES
from labkit.small_files import read_small_file

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")
FILE = "lab.json"

_KEYS = ("lab", "runtime", "lab_file", "image", "created", "variant")
_LATEST = 1 << 33
"""Unix seconds: a time that calendars still know."""


@dataclass(frozen=True, slots=True)
class Record:
    """A lab on this machine. `lab_file` is its file's path, `image` what its nodes run, `created` in Unix seconds.

    `variant` is a variant of the lab file, "" for the base. A damaged record, whose `lab.json` is lost or unreadable,
    has nothing but a name, a time, and the `problem`.
    """

    lab: str
    runtime: str
    lab_file: str
    image: str
    created: float
    variant: str = ""
    problem: str = ""

    @property
    def title(self) -> str:
        """The lab's name, with its variant."""
        return f"{self.lab} ({self.variant})" if self.variant else self.lab

    @property
    def directory(self) -> Path:
        """The lab's state directory."""
        return lab_dir(self.lab)

    @property
    def folder(self) -> Path:
        """The rendered folder."""
        return self.directory / "topology"

    @property
    def source(self) -> Path:
        """The copy of the lab file, with all its variants; the file in the rendered folder has only the running one."""
        return self.directory / "lab.yml"

    @property
    def given(self) -> Path:
        """The lab file as it was given, where the lab's copy has addresses in addition that machines have kept."""
        return self.directory / "given.yml"

    @property
    def topology(self) -> Path:
        """The rendered containerlab topology."""
        return self.folder / f"{self.lab}.clab.yml"


def create(lab: str, runtime: str, lab_file: Path, image: str, variant: str = "") -> Record:
    """Make a new lab's directory, with its record in it. The caller holds the lab's lock, and there is no such lab."""
    record = Record(lab, runtime, str(lab_file), image, time.time(), variant)
    _sweep(lab)
    fresh = _aside(lab, "new")
    fresh.mkdir(parents=True)
    try:
        (fresh / FILE).write_text(json.dumps({key: getattr(record, key) for key in _KEYS}))
        fresh.rename(record.directory)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return record


def update(record: Record, variant: str, lab_file: Path | None) -> None:
    """Note that a lab is that of another variant now, or of another file if one is given; whole or not at all."""
    changed = replace(record, variant=variant, lab_file=str(lab_file.resolve()) if lab_file else record.lab_file)
    fresh = record.directory / f"{FILE}.new"
    fresh.write_text(json.dumps({key: getattr(changed, key) for key in _KEYS}))
    fresh.replace(record.directory / FILE)


def read(lab: str) -> Record | None:
    """The record of a lab, None if there is no such lab."""
    if not NAME.fullmatch(lab):
        return None
    try:
        place = lab_dir(lab).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISLNK(place.st_mode):
        return Record(lab, "", "", "", place.st_mtime, problem=f"{lab_dir(lab)} is a symbolic link")
    if not stat.S_ISDIR(place.st_mode):
        return None
    file = lab_dir(lab) / FILE
    try:
        return _checked(lab, json.loads(read_small_file(file)))
    except OSError as error:
        problem = f"{file}: {error.strerror}"
    except (ValueError, RecursionError) as error:
        problem = f"{file} can't be read: {error}"
    return Record(lab, "", "", "", place.st_mtime, problem=problem)


def _checked(lab: str, found: object) -> Record:
    """A record from its JSON. Raises ValueError if that is not one which this labkit can have written."""
    if not isinstance(found, dict):
        raise ValueError("it is not a record")  # noqa: TRY004 - as for every other mistake in it
    texts = [found.get(key) for key in ("runtime", "lab_file", "image", "variant")]
    created = found.get("created")
    if not all(isinstance(text, str) and text.isprintable() for text in texts):
        raise ValueError("its texts are not those of a record")
    if not isinstance(created, int | float) or not 0 <= created < _LATEST:
        raise ValueError("its time is not valid")
    runtime, lab_file, image, variant = map(str, texts)
    if runtime not in RUNTIMES:
        raise ValueError(f"its runtime {runtime} is another labkit's, which alone can stop its nodes")
    return Record(lab, runtime, lab_file, image, float(created), variant)


def everything() -> list[Record]:
    """The records of all labs, by name."""
    return [record for name in _names() if (record := read(name)) is not None]


def strangers() -> list[Path]:
    """What is where labs are, and can't be one: it has no lab's name."""
    folder = state_home() / "labs"
    return [folder / name for name in _names() if not NAME.fullmatch(name) and not name.startswith(".")]


def _names() -> list[str]:
    folder = state_home() / "labs"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def remove(lab: str) -> None:
    """Remove a lab's directory whole; harmless if there is none. Its runtime must have removed the lab before."""
    _sweep(lab)
    if os.path.lexists(lab_dir(lab)):
        lab_dir(lab).rename(_aside(lab, "gone"))
    _sweep(lab)


def _aside(lab: str, suffix: str) -> Path:
    return lab_dir(lab).with_name(f".{lab}.{suffix}")


def _sweep(lab: str) -> None:
    for suffix in ("new", "gone"):
        aside = _aside(lab, suffix)
        if aside.is_dir() and not aside.is_symlink():
            shutil.rmtree(aside)
        else:
            aside.unlink(missing_ok=True)


def choose(name: str | None, records: Sequence[Record]) -> Record:
    """The lab called `name`, or the only one there is.

    Raises:
        InvalidInput: there is no such lab, or none, or several to choose from.
    """
    names = ", ".join(record.lab for record in records)
    if not records:
        raise InvalidInput("no lab runs here.", "Start one, for example: labkit up overview")
    if name is not None:
        for record in records:
            if record.lab == name:
                return record
        raise InvalidInput(f"no lab called {name} runs here.", f"Running: {names}.")
    if len(records) == 1:
        return records[0]
    raise InvalidInput(f"{len(records)} labs run here: {names}.", f"Choose one, for example: --lab {records[0].lab}")


@contextmanager
def lock(lab: str) -> Iterator[None]:
    """Lock a lab against other `up`s and `down`s for the time of the context.

    Raises:
        InvalidInput: another labkit has locked it.
    """
    file = state_home() / "locks" / f"{lab}.lock"
    try:
        descriptors = _lock(lab, file)
    except BlockingIOError as error:
        raise InvalidInput(
            f"another labkit is starting lab {lab} or taking it down.", "Wait until it ends, or interrupt it."
        ) from error
    try:
        yield
    finally:
        if len(descriptors) > 1:
            file.unlink(missing_ok=True)
        for descriptor in descriptors:
            if descriptor >= 0:
                os.close(descriptor)


def clear_lock(lab: str) -> None:
    """Remove the lock file of an `up` that was killed before it made anything; one in use stays."""
    if NAME.fullmatch(lab):
        with suppress(InvalidInput), lock(lab):
            pass


def _lock(lab: str, file: Path) -> tuple[int, ...]:
    """Lock a lab's folder, if it has one, and its lock file; a full disk has no room for a new file, and needs none.

    Returns their descriptors, -1 for a folder that is not there. Raises BlockingIOError if another process has one.
    """
    folder = -1
    with suppress(FileNotFoundError, NotADirectoryError):
        folder = os.open(lab_dir(lab), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if folder >= 0:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.parent.mkdir(parents=True, exist_ok=True)
        return folder, _locked(file)
    except OSError as error:
        if folder >= 0 and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return (folder,)
        if folder >= 0:
            os.close(folder)
        raise


def _locked(file: Path) -> int:
    """The descriptor of the locked file. Raises BlockingIOError if another process has locked it."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if file.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise
        except FileNotFoundError:
            pass
        os.close(descriptor)  # its former owner has removed the file: this lock is on a file that no one else opens
