"""Runs pytest as an ordinary user, from root: `python as_user.py UID LAYER... -- PYTEST-ARGUMENTS`.

The interpreter, its packages, the repository and the image may lie where that user can't look (below /root, say), and
its image must be its own. So all of it is put on a tmpfs in a mount namespace of its own, which vanishes with it. A
LAYER is a layer's root file system; the user finds it in its own cache, where labkit looks for images.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import yaml

from labkit.runtimes.sandbox import linux

REPOSITORY = Path(__file__).resolve().parent.parent.parent
ROOM = Path("/mnt")


def main() -> None:
    user = int(sys.argv[1])
    middle = sys.argv.index("--")
    layers = [Path(layer) for layer in sys.argv[2:middle]]
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_SLAVE)
    linux.mount("labkit-test", str(ROOM), "tmpfs", 0, "mode=755")
    for name in ("python", "packages", "repository", "home", "tmp", "cache"):
        (ROOM / name).mkdir()
    packages = Path(yaml.__file__).parent.parent
    for source, name in ((Path(sys.base_prefix), "python"), (packages, "packages"), (REPOSITORY, "repository")):
        linux.mount(str(source), str(ROOM / name), flags=linux.MS_BIND | linux.MS_REC)
    mine = []
    for layer in layers:
        copy = ROOM / "cache" / "labkit" / "images" / layer.parent.name
        shutil.copytree(layer.parent, copy, symlinks=True)
        mine.append(copy / layer.name)
    for top in (ROOM / "cache", ROOM / "home", ROOM / "tmp"):
        os.chown(top, user, user)
        for folder, folders, files in os.walk(top):
            for name in (*folders, *files):
                os.chown(Path(folder, name), user, user, follow_symlinks=False)
    python = ROOM / "python" / "bin" / f"python3.{sys.version_info.minor}"
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
    os.chdir(ROOM / "repository")
    environment = {
        "HOME": str(ROOM / "home"),
        "PATH": os.environ["PATH"],
        "TMPDIR": str(ROOM / "tmp"),
        "XDG_CACHE_HOME": str(ROOM / "cache"),
        "PYTHONPATH": f"{ROOM / 'repository'}:{ROOM / 'packages'}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "LABKIT_TEST_LAYERS": ":".join(map(str, mine)),
    }
    os.execve(python, [str(python), "-m", "pytest", *sys.argv[middle + 1 :]], environment)


if __name__ == "__main__":
    main()
