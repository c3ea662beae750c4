"""What an image is made of, and the hashes that name it. Reads files only, so that every `up` can afford it."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import labkit
from labkit import resources
from labkit.runtimes.image.extra import chosen

# Rooms whose code runs inside nodes; the others stay out, so that a change of the CLI rebuilds no layer.
_ROOMS = (
    "agent",
    "azure",
    "controller",
    "daemons",
    "fabric",
    "feed",
    "firewall",
    "gateway",
    "lab",
    "routeserver",
    "start",
    "tracker",
)
# Modules at the top of the package that no node needs.
_NOT_IN_NODES = ("pytest.py",)
# Changes with the builder's own behaviour: what is excluded, how the tree is normalised.
_FORMAT = "4"
_HASH_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Package:
    """A Debian package of the image and the version prefix that it must have ("" for any)."""

    name: str
    version: str


@dataclass(frozen=True)
class Definition:
    """The definition of the node image: a folder of the repository (or of the wheel) and labkit's own package.

    `extra` are packages of Debian that the user wants in it as well.
    """

    folder: Path
    package: Path
    extra: tuple[str, ...] = ()

    @cached_property
    def base_hash(self) -> str:
        """The name of the base layer: Debian, the Python dependencies, and the processor architecture."""
        inputs = [self.folder / "packages.txt", self.folder / "requirements.txt", *_files(self.folder / "base")]
        return _hash([_FORMAT, platform.machine(), *self.extra], self.folder, inputs)

    @cached_property
    def labkit_hash(self) -> str:
        """The name of labkit's own layer, which includes the base's: equal hashes are equal images."""
        own = _hash([_FORMAT, self.base_hash], self.folder, _files(self.folder / "labkit"))
        return _hash([own], self.package, self.package_files)

    @cached_property
    def package_files(self) -> tuple[Path, ...]:
        """The files of labkit that go into nodes."""
        top = [path for path in self.package.glob("*.py") if path.name not in _NOT_IN_NODES]
        return tuple(sorted(top) + [path for room in _ROOMS for path in _files(self.package / room)])

    @cached_property
    def packages(self) -> tuple[Package, ...]:
        """The Debian packages that are asked for."""
        lines = (self.folder / "packages.txt").read_text().splitlines()
        fields = (line.split(None, 2) for line in lines if line.strip() and not line.startswith("#"))
        return tuple(Package(name, "" if version == "-" else version) for name, version, _reason in fields)


def node_definition(extra: tuple[str, ...] | None = None) -> Definition:
    """The definition of the one image that every node runs, with the `extra` packages: by default, those chosen.

    Raises:
        InvalidInput: the choice can't be read.
    """
    wanted = chosen() if extra is None else extra
    return Definition(resources.images() / "node", Path(labkit.__file__).parent, wanted)


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if "__pycache__" not in path.parts and path.is_file():
            yield path


def _hash(words: list[str], root: Path, files: Iterator[Path] | tuple[Path, ...] | list[Path]) -> str:
    digest = hashlib.sha256()
    for word in words:
        digest.update(f"{word}\0".encode())
    for path in files:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:_HASH_DIGITS]
