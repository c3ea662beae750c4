"""From a plan to a folder that is the whole lab: the topology, every configuration, every bind source."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from labkit.errors import EnvironmentProblem, InvalidInput
from labkit.lab.plan.model import LAB_FILE, Plan
from labkit.render.environment import environment
from labkit.render.own_files import NO_OWN_FILES, OwnFiles

LINK_MTU = 1500
MANIFEST = ".labkit.json"
"""The file that marks a rendered folder: the list of its files."""

_FOLDER_MODE = 0o755
_FILE_MODE = 0o644
"""Readable by all whatever the umask: a BGP daemon may drop the capability by which root reads others' files."""


def render_files(plan: Plan, *, image: str, lab_file: bytes, own: OwnFiles = NO_OWN_FILES) -> dict[str, bytes]:
    """Every file of a rendered lab by its path in the folder; `image` is what the nodes run.

    `own` are the user's own files that the plan names.
    """
    templates = environment()
    templates.filters["source"] = own.source
    topology = templates.get_template("topology.clab.yml.j2").render(
        plan=plan,
        image=image,
        link_mtu=LINK_MTU,
        shared={
            "env": _shared([node.env for node in plan.nodes]),
            "sysctls": _shared([node.sysctls for node in plan.nodes]),
        },
    )
    files = {topology_name(plan.lab): topology.encode(), LAB_FILE: lab_file}
    for file in plan.files:
        if file.own:
            text = own.rendered(file)
        else:
            text = templates.get_template(file.template).render(file.context) if file.template else ""
        files[file.path] = text.encode()
    return files


def _shared(mappings: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The entries that all of the mappings have: they are written once, as the nodes' defaults."""
    return {key: value for key, value in mappings[0].items() if all(m.get(key) == value for m in mappings)}


def topology_name(lab: str) -> str:
    """The name of a lab's topology file, by containerlab's convention."""
    return f"{lab}.clab.yml"


def render(plan: Plan, out: Path, *, image: str, lab_file: bytes, own: OwnFiles = NO_OWN_FILES) -> Path:
    """Write a plan's files into the folder `out` and return the path of the topology in it; see `render_files`.

    A folder that does not exist, or is empty, appears complete or not at all. One that labkit rendered before is
    brought up to date file by file; what labkit did not write there stays untouched.

    Raises:
        InvalidInput: `out` is not a folder, or has files that labkit did not write.
        EnvironmentProblem: the system refuses to write there.
    """
    files = render_files(plan, image=image, lab_file=lab_file, own=own)
    try:
        former = _former(out)
        if former is None:
            _create(out, files)
        else:
            _update(out, files, former)
    except OSError as error:
        reason = error.strerror or str(error)
        raise EnvironmentProblem(
            f"{error.filename or out}: {reason}.", "Choose a folder that you may write to, with enough space."
        ) from error
    return out / topology_name(plan.lab)


def rendered(out: Path) -> dict[str, bytes]:
    """The files that are in a rendered folder, by their path in it."""
    return {path: (out / path).read_bytes() for path in sorted(_former(out) or ())}


def restore(out: Path, files: Mapping[str, bytes]) -> None:
    """Give a rendered folder the files that it had (`rendered`), and no others of labkit's.

    Raises:
        EnvironmentProblem: the system refuses to write there.
    """
    try:
        _update(out, files, _former(out) or frozenset())
    except OSError as error:
        raise EnvironmentProblem(f"{error.filename or out}: {error.strerror}.", "Free some space there.") from error


def _former(out: Path) -> frozenset[str] | None:
    """The files that labkit wrote into `out` before; None if there is nothing in it."""
    if not out.exists():
        return None
    if not out.is_dir():
        raise InvalidInput(f"{out} is not a folder.", "Name a new folder.")
    if not any(out.iterdir()):
        return None
    try:
        listed = json.loads((out / MANIFEST).read_text(encoding="utf-8"))["files"]
        return frozenset(str(path) for path in listed if _is_inside(path))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        raise InvalidInput(
            f"{out} is not empty, and was not rendered by labkit.", "Name a new or an empty folder."
        ) from None


def _is_inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return not pure.is_absolute() and ".." not in pure.parts


def _create(out: Path, files: Mapping[str, bytes]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
        staged = Path(temporary) / out.name
        staged.mkdir(_FOLDER_MODE)
        staged.chmod(_FOLDER_MODE)
        for path, content in _with_manifest(files):
            _write(staged, path, content)
        staged.rename(out)


def _update(out: Path, files: Mapping[str, bytes], former: frozenset[str]) -> None:
    for path, content in _with_manifest(files):
        with contextlib.suppress(FileNotFoundError):
            if (out / path).read_bytes() == content:
                continue
        partial = f"{path}.partial"
        _write(out, partial, content)
        (out / partial).rename(out / path)
    for path in former - files.keys():
        (out / path).unlink(missing_ok=True)


def _with_manifest(files: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """The files, and last the list of them: a folder that has it is complete."""
    yield from files.items()
    yield MANIFEST, json.dumps({"files": sorted(files)}, indent=1).encode() + b"\n"


def _write(root: Path, path: str, content: bytes) -> None:
    target = root / path
    for folder in reversed(target.relative_to(root).parents[:-1]):
        with contextlib.suppress(FileExistsError):
            (root / folder).mkdir()
            (root / folder).chmod(_FOLDER_MODE)
    with target.open("wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), _FILE_MODE)
