"""The Python side of the image: locked wheels, and byte code made by the image's own interpreter."""

from __future__ import annotations

import platform
import shutil
import sys
from pathlib import Path

from labkit.errors import EnvironmentProblem
from labkit.runtimes.image.run import Build, ToolFailed, disk_full

PYTHON = "3.13"
ARCHITECTURES = ("x86_64", "aarch64")
# Debian 13 has glibc 2.41, which runs wheels made for any older one.
_GLIBC = ("2_28", "2_17", "2_5")
DEPS = Path("opt/labkit/deps")
APP = Path("opt/labkit/app")


def platform_options(architecture: str) -> list[str]:
    """The options of pip that choose wheels for the image rather than for this machine."""
    options = ["--python-version", PYTHON, "--implementation", "cp", "--only-binary=:all:"]
    for abi in ("cp313", "abi3", "none"):
        options += ["--abi", abi]
    for glibc in _GLIBC:
        options += ["--platform", f"manylinux_{glibc}_{architecture}"]
    return [*options, "--platform", f"manylinux2014_{architecture}"]


def install_wheels(build: Build, requirements: Path, root: Path) -> None:
    """Install the locked wheels into a root file system.

    pip's own settings (PIP_INDEX_URL, PIP_CERT, PIP_FIND_LINKS, pip.conf, ...) hold, except those about the place.

    Raises:
        EnvironmentProblem: no pip, no package index, a wheel that differs from its locked hash, a full disk.
    """
    target = root / DEPS
    command = [sys.executable, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-compile", "--ignore-installed", "--require-hashes", "--progress-bar", "off"]
    command += [*platform_options(platform.machine()), "--target", str(target), "--requirement", str(requirements)]
    total = requirements.read_text().count("==")
    seen = 0

    def on_line(line: str) -> None:
        nonlocal seen
        if line.startswith(("Collecting ", "Installing ")):
            seen += 1
            build.advance(seen / (total + 1), line)

    for setting in ("PIP_USER", "PIP_PREFIX", "PIP_TARGET", "PIP_ROOT", "PIP_QUIET"):
        build.environment.pop(setting, None)
    try:
        build.run(command, on_line=on_line)
    except ToolFailed as failure:
        raise _explain(failure, root) from failure
    # Their first line names this machine's interpreter; nodes use `python3 -m` instead.
    shutil.rmtree(target / "bin", ignore_errors=True)


def compile_all(build: Build, base: Path, root: Path, folder: Path) -> None:
    """Byte-compile the sources below `root/folder` with the interpreter of the base layer.

    Python's byte code is made for one version, and nodes must not spend their first second on it. The interpreter
    runs by its own dynamic loader, which needs no chroot, hence no privilege. The byte code is never checked against
    its source: an image doesn't change, and file times don't survive every copy.
    """
    libraries = base / "usr/lib" / f"{platform.machine()}-linux-gnu"
    loader = next(libraries.glob("ld-linux-*.so.*"))
    command: list[str | Path] = [
        loader,
        "--library-path",
        libraries,
        base / f"usr/bin/python{PYTHON}",
        "-I",
        "-m",
        "compileall",
        "-q",
    ]
    place = root / folder
    build.run([*command, "--invalidation-mode", "unchecked-hash", "-s", place, "-p", f"/{folder}", place])


def _explain(failure: ToolFailed, root: Path) -> EnvironmentProblem:
    if failure.mentions("No space left on device", "Disk quota exceeded"):
        return disk_full(root)
    if failure.mentions("No module named pip"):
        return EnvironmentProblem(
            f"This Python ({sys.executable}) has no pip, which fills the image.",
            f"Run: {sys.executable} -m ensurepip --upgrade",
        )
    if failure.mentions("DO NOT MATCH THE HASHES"):
        return EnvironmentProblem(
            "A Python package from the index differs from the one that labkit was tested with (another hash).",
            "Check which index pip uses (`pip config list`); a mirror that rebuilds packages can't be used.",
        )
    return EnvironmentProblem(
        f"The image's Python packages can't be installed: {failure.last_error()}",
        "Check the network, and pip's settings for a mirror or proxy (PIP_INDEX_URL, PIP_CERT, HTTPS_PROXY); "
        "the build's log has all of pip's output.",
    )
