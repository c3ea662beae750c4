"""Programs of the image that check a file before any node runs, on this machine and without privileges.

They run by the image's own dynamic loader, which needs no chroot.
"""

from __future__ import annotations

import platform
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from labkit.daemons.protocol import Command, Config
from labkit.errors import EnvironmentProblem
from labkit.runtimes.image.images import Image

_SECONDS = 30.0
_REBUILD = "Build it again: labkit image build"


def mistakes(image: Image, config: Config, name: str, text: str) -> Mapping[int, str]:
    """What a daemon's own parser finds wrong with a configuration (its file's name, its text), by line.

    Raises:
        EnvironmentProblem: the parser can't run here, or does not end.
    """
    with tempfile.TemporaryDirectory(prefix="labkit-") as folder:
        Path(folder, name).write_text(text, encoding="utf-8")
        output = _output(image, config.parser(folder))
    return dict(sorted(config.mistakes(text, output)))


def _output(image: Image, command: Command) -> str:
    root = image.layers[-1]
    libraries = root / "usr/lib" / f"{platform.machine()}-linux-gnu"
    loader = next(libraries.glob("ld-linux-*.so.*"), None)
    if loader is None:
        raise EnvironmentProblem(f"the image has no dynamic loader in {libraries}.", _REBUILD)
    program, *arguments = command
    argv: list[str | Path] = [loader, "--library-path", f"{libraries}:{libraries / 'frr'}", root / program, *arguments]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        text = f"{program} has not read the configuration after {_SECONDS:.0f} s."
        raise EnvironmentProblem(text, "Is the machine busy? Try again.") from error
    return done.stdout + done.stderr
