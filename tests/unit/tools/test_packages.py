"""`tools/packages` with the real apt-get, which works on a tree of its own here, and the lines of dpkg."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parent.parent.parent.parent / "tools" / "packages"
UPDATE = ("apt-get", "-qq", "update")
INSTALL = ("apt-get", "-qq", "install", "--yes", "dpkg")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree for apt with the packages of this machine and no sources to update from."""
    if shutil.which("apt-get") is None:
        pytest.skip("this machine has no apt-get")
    for folder in ("lists/partial", "cache/archives/partial", "dpkg/updates", "dpkg/info", "log"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy("/var/lib/dpkg/status", tmp_path / "dpkg" / "status")
    (tmp_path / "apt.conf").write_text(
        f'Dir::State::lists "{tmp_path}/lists"; Dir::State::status "{tmp_path}/dpkg/status";\n'
        f'Dir::Cache "{tmp_path}/cache"; Dir::Log "{tmp_path}/log";\n'
        'Dir::Etc::sourcelist "/dev/null"; Dir::Etc::sourceparts "/dev/null";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    monkeypatch.setenv("LC_ALL", "C")
    return tmp_path


@contextmanager
def held(lock: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process holds a lock."""
    program = "import fcntl, sys; lock = open(sys.argv[1], 'w'); fcntl.lockf(lock, fcntl.LOCK_EX)\n"
    program += "print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        yield holder


def start(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen([TOOL, "here", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("lock", "command"), [("lists/lock", UPDATE), ("dpkg/lock-frontend", INSTALL)])
def test_it_waits_for_who_holds_the_lock(tree: Path, lock: str, command: tuple[str, ...]) -> None:
    with held(tree / lock) as holder, start(*command) as waiting:
        assert waiting.stdout
        assert waiting.stdout.readline().startswith(f" here  waits: process {holder.pid} (")
        assert waiting.poll() is None
        holder.communicate()
        assert waiting.communicate(timeout=30) == ("", "")
        assert waiting.returncode == 0


@pytest.mark.usefixtures("tree")
def test_what_fails_for_another_reason_is_shown() -> None:
    with start("apt-get", "-qq", "install", "--yes", "no-such-package") as failing:
        out, err = failing.communicate(timeout=30)
    assert (failing.returncode, out) == (1, "")
    assert "Unable to locate package no-such-package" in err


def test_dpkg_too_names_who_holds_its_lock(tmp_path: Path) -> None:
    program = tmp_path / "dpkg"
    program.write_text(
        '#!/bin/sh\n[ ! -e "$1" ] || { mv "$1" "$1.away"; '
        "echo 'dpkg: error: dpkg frontend lock was locked by another process with pid 4711'; exit 2; }\n"
    )
    program.chmod(0o755)
    (tmp_path / "locked").touch()
    done = subprocess.run([TOOL, "here", program, tmp_path / "locked"], capture_output=True, text=True, check=True)
    assert done.stdout == " here  waits: process 4711 is changing this machine's packages\n"
