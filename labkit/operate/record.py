"""Which labs there are on this machine: one record per lab, written before anything of the lab exists."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from labkit.errors import InvalidInput
from labkit.paths import lab_dir, state_home


@dataclass(frozen=True, slots=True)
class Record:
    """A lab on this machine. `lab_file` is where it came from, `image` what its nodes run, `created` in Unix seconds."""

    lab: str
    runtime: str
    lab_file: str
    image: str
    created: float

    @property
    def directory(self) -> Path:
        """The lab's state directory."""
        return lab_dir(self.lab)

    @property
    def folder(self) -> Path:
        """The rendered folder."""
        return self.directory / "topology"

    @property
    def topology(self) -> Path:
        """The rendered containerlab topology."""
        return self.folder / f"{self.lab}.clab.yml"


def create(lab: str, runtime: str, lab_file: Path, image: str) -> Record:
    """Write a new lab's record; its directory must not exist or be empty of a record."""
    record = Record(lab, runtime, str(lab_file), image, time.time())
    record.directory.mkdir(parents=True, exist_ok=True)
    fresh = record.directory / "lab.json.new"
    fresh.write_text(json.dumps(asdict(record)))
    fresh.replace(record.directory / "lab.json")
    return record


def read(lab: str) -> Record | None:
    """The record of a lab, None if there is no such lab."""
    try:
        return Record(**json.loads((lab_dir(lab) / "lab.json").read_text()))
    except FileNotFoundError:
        return None


def everything() -> list[Record]:
    """The records of all labs, by name."""
    folder = state_home() / "labs"
    names = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    return [record for name in names if (record := read(name)) is not None]


def remove(lab: str) -> None:
    """Remove a lab's directory whole. Its runtime must have let go of it before."""
    shutil.rmtree(lab_dir(lab), ignore_errors=False)


def the_running_lab(name: str | None) -> Record:
    """The lab called `name`, or the only one there is.

    Raises:
        InvalidInput: there is no such lab, or none, or several to choose from.
    """
    records = everything()
    names = [r.lab for r in records]
    if name is not None:
        for record in records:
            if record.lab == name:
                return record
        raise InvalidInput(f"no lab called {name} runs here.", _listing(names))
    if len(records) == 1:
        return records[0]
    if not records:
        raise InvalidInput("no lab runs here.", "Start one: labkit up overview")
    raise InvalidInput(f"{len(records)} labs run here: {', '.join(names)}.", "Say which: --lab NAME")


def _listing(names: list[str]) -> str:
    return f"These do: {', '.join(names)}." if names else "None does. Start one: labkit up overview"


@contextmanager
def lock(lab: str) -> Iterator[None]:
    """Hold a lab against other `up`s and `down`s for the time of the context.

    Raises:
        InvalidInput: another labkit holds it.
    """
    folder = state_home() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / f"{lab}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InvalidInput(
                f"another labkit is bringing lab {lab} up or down.", "Wait for it, or stop it."
            ) from None
        yield
    finally:
        os.close(descriptor)
