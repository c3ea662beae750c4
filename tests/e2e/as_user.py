"""Runs pytest as an ordinary user, from root: `python as_user.py [OPTIONS] UID LAYER... -- PYTEST-ARGUMENTS`.

The interpreter, its packages, the repository and the image may lie where that user can't look (below /root, say), and
its image must be its own. So all of it is put on a tmpfs in a mount namespace of its own, which vanishes with it. A
LAYER is a layer's root file system; the user finds it in its own cache, where labkit looks for images.

A Docker engine does not see that tmpfs: for its sake there is `--outside`, a folder for the user's state. `--group` is
a group that the user is in, and `--setuid` a program that is found first and has root's rights.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

import yaml

from labkit import linux

REPOSITORY = Path(__file__).resolve().parent.parent.parent
ROOM = Path("/mnt")


def main() -> None:
    middle = sys.argv.index("--")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("user", type=int)
    parser.add_argument("layers", type=Path, nargs="*")
    parser.add_argument("--outside", type=Path, default=ROOM / "home")
    parser.add_argument("--group", type=int, action="append", default=[])
    parser.add_argument("--setuid", type=Path, action="append", default=[])
    options = parser.parse_args(sys.argv[1:middle])
    user = options.user
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_SLAVE)
    linux.mount("labkit-test", str(ROOM), "tmpfs", 0, "mode=755")
    for name in ("python", "packages", "repository", "home", "tmp", "cache", "bin"):
        (ROOM / name).mkdir()
    packages = Path(yaml.__file__).parent.parent
    for source, name in ((Path(sys.base_prefix), "python"), (packages, "packages"), (REPOSITORY, "repository")):
        linux.mount(str(source), str(ROOM / name), flags=linux.MS_BIND | linux.MS_REC)
    mine = []
    for layer in options.layers:
        copy = ROOM / "cache" / "labkit" / "images" / layer.parent.name
        shutil.copytree(layer.parent, copy, symlinks=True)
        mine.append(copy / layer.name)
    for program in options.setuid:
        copy = ROOM / "bin" / program.name
        shutil.copyfile(program, copy)
        copy.chmod(0o4755)
    for top in (ROOM / "cache", ROOM / "home", ROOM / "tmp", options.outside):
        os.chown(top, user, user)
        for folder, folders, files in os.walk(top):
            for name in (*folders, *files):
                os.chown(Path(folder, name), user, user, follow_symlinks=False)
    python = ROOM / "python" / "bin" / f"python3.{sys.version_info.minor}"
    os.setgroups(options.group)
    os.setgid(user)
    os.setuid(user)
    os.chdir(ROOM / "repository")
    environment = {
        "HOME": str(ROOM / "home"),
        "PATH": f"{ROOM / 'bin'}:{os.environ['PATH']}",
        "TMPDIR": str(ROOM / "tmp"),
        "XDG_STATE_HOME": str(options.outside / "state"),
        "XDG_CACHE_HOME": str(ROOM / "cache"),
        "PYTHONPATH": f"{ROOM / 'repository'}:{ROOM / 'packages'}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "LABKIT_TEST_LAYERS": ":".join(map(str, mine)),
        "LABKIT_TEST_LAB": os.environ.get("LABKIT_TEST_LAB", ""),
    }
    os.execve(python, [str(python), "-m", "pytest", *sys.argv[middle + 1 :]], environment)


if __name__ == "__main__":
    main()
