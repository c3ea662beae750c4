"""Images: what a node's root file system is made of, built once and kept by content.

The node image has two layers, each a folder named by the hash of its inputs below $XDG_CACHE_HOME/labkit/images:

    base-<hash>/rootfs      Debian, and the Python packages that labkit's processes import
    node-<hash>/rootfs      labkit itself: its package, node-init, the services
    */manifest.json         what went in; */build.log what the tools printed

A layer's folder appears whole, by a rename, or not at all. It never changes afterwards.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Required, TypedDict

from labkit import paths
from labkit.errors import EnvironmentProblem, LabkitError
from labkit.runtimes.image import debian as image_debian
from labkit.runtimes.image import python as image_python
from labkit.runtimes.image.definition import Definition, node_definition
from labkit.runtimes.image.run import Build, BuildProgress, OnProgress, ToolFailed, disk_full, is_disk_full, need_space

__all__ = [
    "BuildProgress",
    "Image",
    "ImageSpec",
    "OnProgress",
    "ensure",
    "installed",
    "node_image",
    "prune",
    "tar_command",
]

REPOSITORY = "labkit/node"
# Measured: 250 MB for the base, 2 MB for labkit's own layer.
_BASE_MEGABYTES = 400
_LABKIT_MEGABYTES = 20


@dataclass(frozen=True)
class ImageSpec:
    """An image by its definition, built or not."""

    definition: Definition

    @property
    def title(self) -> str:
        """Its name, and the packages that the user wants in it."""
        extra = self.definition.extra
        return f"{self.reference} with {', '.join(extra)}" if extra else self.reference

    @property
    def reference(self) -> str:
        """The name for topologies and engines: labkit/node:<hash>."""
        return f"{REPOSITORY}:{self.definition.labkit_hash}"


@dataclass(frozen=True, slots=True)
class Image:
    """An image on disk."""

    reference: str
    layers: tuple[Path, ...]
    """Root file systems, top first: the order of overlayfs's `lowerdir`."""

    def packages(self) -> dict[str, str]:
        """The Debian packages in it: name to version."""
        return _manifest(self.layers[-1].parent)["packages"]


def node_image(extra: tuple[str, ...] | None = None) -> ImageSpec:
    """The image that every node runs, with the `extra` packages: by default, those chosen.

    Reads and hashes its definition only.

    Raises:
        InvalidInput: the choice can't be read.
    """
    return ImageSpec(node_definition(extra))


def installed(reference: str) -> Image | None:
    """The image of that name, if it is on disk."""
    repository, _, digest = reference.partition(":")
    if repository != REPOSITORY or not digest.isalnum():
        return None
    top = _home() / f"node-{digest}"
    if not (top / "manifest.json").exists():
        return None
    base = _home() / f"base-{_manifest(top)['base']}"
    return Image(reference, (top / "rootfs", base / "rootfs")) if (base / "manifest.json").exists() else None


def ensure(spec: ImageSpec, on_progress: OnProgress = lambda _progress: None) -> Image:
    """The image, built now if it is not on disk: about 30 s, or 1 s if only labkit changed.

    Several labkit processes may ask at once: one builds, the others wait. A build that fails or is interrupted leaves
    nothing but images/last-failure.log.

    Raises:
        EnvironmentProblem: this machine lacks or refuses something that a build needs.
        InvalidInput: Debian has not all of the user's packages, or they don't go with labkit's.
    """
    image = installed(spec.reference)
    if image:
        return image
    home = _home()
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _build_lock(home, on_progress) as lock:
            image = installed(spec.reference)
            if image is None:
                _build(spec.definition, home, lock, on_progress)
                image = installed(spec.reference)
    except PermissionError as error:
        raise EnvironmentProblem(
            f"Images can't be kept in {home}: {error.strerror} ({error.filename}).",
            "Make it yours again (sudo chown), or choose another place with XDG_CACHE_HOME.",
        ) from error
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(home) from error
        raise
    assert image is not None
    return image


def prune(keep: Iterable[str] = ()) -> list[Path]:
    """Remove every layer that neither today's image nor one of the references in `keep` (running labs') needs.

    Returns the folders that were removed.
    """
    home = _home()
    if not home.is_dir():
        return []
    needed = {home / f"base-{node_definition().base_hash}"}
    for reference in (node_image().reference, *keep):
        image = installed(reference)
        needed |= {layer.parent for layer in image.layers} if image else set()
    with _build_lock(home, lambda _progress: None):
        doomed = [layer for kind in ("base-*", "node-*") for layer in sorted(home.glob(kind)) if layer not in needed]
        for layer in doomed:
            _remove(layer)
    return doomed


def tar_command(image: Image) -> list[str]:
    """A command that writes the image to stdout as a tar archive for `docker import -`.

    Everything in it belongs to 0:0, its order is fixed, it has no extended attributes, and every path is in it once:
    Docker refuses others.
    """
    command = ["tar", "--create", "--file=-", "--sort=name", "--owner=0", "--group=0", "--numeric-owner"]
    command += ["--format=posix", "--pax-option=delete=atime,delete=ctime"]
    top, base = image.layers
    command += ["--directory", str(base), ".", "--directory", str(top)]
    return command + [f"./{path.relative_to(top)}" for path in _beyond(top, base)]


def _beyond(top: Path, base: Path) -> Iterator[Path]:
    """The files and whole folders of a layer that the layer below it lacks."""
    for path in sorted(top.iterdir()):
        below = base / path.name
        if path.is_dir() and below.is_dir():
            yield from _beyond(path, below)
        else:
            yield path


def _home() -> Path:
    return paths.cache_home() / "images"


class _Manifest(TypedDict, total=False):
    """What a layer is made of: of Debian's packages, in so many seconds, or of labkit on the base with this hash."""

    kind: Required[str]
    packages: dict[str, str]
    seconds: float
    base: str


def _manifest(folder: Path) -> _Manifest:
    manifest: _Manifest = json.loads((folder / "manifest.json").read_text())
    return manifest


@contextmanager
def _build_lock(home: Path, on_progress: OnProgress) -> Iterator[int]:
    """Hold the lock of the image folder, which the kernel frees when the last process of a build is gone."""
    descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_progress(BuildProgress("waiting for another labkit that builds the image", 0.0))
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _build(definition: Definition, home: Path, lock: int, on_progress: OnProgress) -> None:
    """Build what is missing; the caller holds the lock, so whatever lies in `building` is left from a dead build."""
    work = home / "building"
    scratch_record = home / "scratch"
    image_debian.sweep(scratch_record)
    _remove(work)
    base = home / f"base-{definition.base_hash}"
    top = home / f"node-{definition.labkit_hash}"
    with_base = not (base / "manifest.json").exists()
    if with_base:
        image_debian.check()
    need_space(home, _BASE_MEGABYTES if with_base else _LABKIT_MEGABYTES, "the node image")
    work.mkdir(mode=0o700)
    try:
        if with_base:
            _remove(base)
            with (work / "build.log").open("w", buffering=1) as log:
                _build_base(definition, work, Build(log, on_progress, lock), scratch_record)
            _publish(work, base)
        _remove(top)
        with (work / "build.log").open("w", buffering=1) as log:
            _build_labkit(definition, base, work, Build(log, on_progress, lock))
        _publish(work, top)
    except BaseException as error:
        if isinstance(error, LabkitError) and (work / "build.log").exists():
            shutil.copyfile(work / "build.log", home / "last-failure.log")
        raise
    finally:
        _remove(work)
    on_progress(BuildProgress("done", 1.0))


def _build_base(definition: Definition, work: Path, build: Build, scratch_record: Path) -> None:
    began = time.monotonic()
    root = work / "rootfs"
    root.mkdir()
    names = [package.name for package in definition.packages]
    if definition.extra:
        build.step("packages", 0.0, 0.0)
        image_debian.try_out(build, (*names, *definition.extra), remember=scratch_record)
    build.step("Debian 13", 0.0, 0.72)
    image_debian.bootstrap(build, root, (*names, *definition.extra), remember=scratch_record)
    image_debian.normalise(root)
    versions = image_debian.installed_versions(root)
    image_debian.check_versions(definition.packages, versions)
    build.step("Python packages", 0.72, 0.92)
    image_python.install_wheels(build, definition.folder / "requirements.txt", root)
    build.step("byte code", 0.92, 0.97)
    try:
        image_python.compile_all(build, root, root, image_python.DEPS)
    except ToolFailed as failure:
        raise _no_byte_code(failure) from failure
    _copy_tree(definition.folder / "base", root)
    (root / image_python.APP).mkdir()
    image_debian.open_up(root / "opt")
    _finish(work, {"kind": "base", "packages": versions, "seconds": round(time.monotonic() - began, 1)})


def _build_labkit(definition: Definition, base: Path, work: Path, build: Build) -> None:
    root = work / "rootfs"
    root.mkdir()
    build.step("labkit", 0.97, 1.0)
    _copy_tree(definition.folder / "labkit", root)
    app = root / image_python.APP / definition.package.name
    for source in definition.package_files:
        target = app / source.relative_to(definition.package)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    try:
        image_python.compile_all(build, base / "rootfs", root, image_python.APP)
    except ToolFailed as failure:
        raise _no_byte_code(failure) from failure
    image_debian.open_up(root)
    _finish(work, {"kind": "node", "base": definition.base_hash})


def _no_byte_code(failure: ToolFailed) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"The image's Python can't compile its packages: {failure.last_error()}",
        "images/last-failure.log in labkit's cache folder has the complete output.",
    )


def _copy_tree(source: Path, target: Path) -> None:
    """Copy files of the definition; a file that begins with #! is a program (a wheel may have lost its mode)."""
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir(parents=True, exist_ok=True)
        else:
            copy.parent.mkdir(parents=True, exist_ok=True)
            content = path.read_bytes()
            copy.write_bytes(content)
            copy.chmod(0o755 if content.startswith(b"#!") else 0o644)


def _finish(work: Path, manifest: _Manifest) -> None:
    (work / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def _publish(work: Path, layer: Path) -> None:
    """Give a finished layer its name, and start afresh in `work`."""
    work.chmod(0o755)
    work.rename(layer)
    work.mkdir(mode=0o700)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
