"""labkit on a machine that is not as it should be: too small, full, slow, or odd."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from labkit.resources import topologies
from labkit.runtimes.image import images
from tests.e2e.command_line import Labkit


@pytest.fixture(scope="module", autouse=True)
def _image() -> None:
    """What fails below is not the building of the image."""
    images.ensure(images.node_image())


@pytest.fixture(scope="module")
def lab_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The overview lab under another name."""
    text = (topologies() / "overview" / "lab.yml").read_text()
    file = tmp_path_factory.mktemp("lab") / "machine.lab.yml"
    file.write_text(text.replace("name: overview", "name: machine"))
    return file


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Labkit]:
    """A labkit with no lab yet."""
    labkit = Labkit(tmp_path / "state")
    yield labkit
    assert labkit("down", "--all").returncode == 0
    assert labkit.left() == []


# --- Too small


def limited(labkit: Labkit, limit: str, *arguments: str) -> tuple[int, str]:
    done = labkit.run(["sh", "-c", f'{limit} || exit 99; exec "$@"', "sh", *labkit.argv(*arguments)])
    return done.returncode, done.stderr


def test_a_limit_on_open_files(empty: Labkit, lab_file: Path) -> None:
    status, text = limited(empty, "ulimit -n 100", "up", str(lab_file))
    assert status == 3
    message, remedy, force = text.splitlines()
    assert message == (
        "lab machine with its 11 nodes does not fit on this machine: it needs up to 152 open files in one process, "
        "of which 100 are allowed by the limit on open files (ulimit -Hn)."
    )
    assert "labkit list" in remedy
    assert "--force" in force
    assert not (empty.home / "labkit" / "labs").exists(), "it was found before anything was made"
    # A soft limit is none: the sandbox raises it for itself, and nodes have the one that was.
    status, text = limited(empty, "ulimit -Sn 64", "up", str(lab_file))
    assert status == 0, text
    for node in ("vm1", "sdwan-nva"):
        assert empty.ok("exec", node, "--", "sh", "-c", "ulimit -Sn").strip() == "64"
    services = empty.ok("exec", "vm1", "--", "sh", "-c", "grep -h 'Max open files' /proc/[0-9]*/limits")
    assert {line.split()[3] for line in services.splitlines()} == {"64"}


def test_too_few_open_files_while_a_lab_boots(empty: Labkit, lab_file: Path) -> None:
    """The check was turned off: no traceback of a child, and nothing stays."""
    status, text = limited(empty, "ulimit -n 34", "up", "--force", str(lab_file))
    assert status == 3, text
    *_, message, remedy = text.splitlines()
    assert "This is a limit on processes, open files or memory." in message
    assert "raise the limit" in remedy


@pytest.fixture
def group(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A new control group of version 1 for the controller that the parameter names, where this user may make one."""
    folder = Path("/sys/fs/cgroup") / request.param / f"labkit-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"{folder}: {error.strerror}")
    yield folder
    with suppress(OSError):
        (folder / "memory.force_empty").write_text("0")
    folder.rmdir()


@pytest.mark.parametrize(
    ("group", "limit", "short"),
    [
        ("memory", ("memory.limit_in_bytes", 256 << 20), "about 315 MB of memory, of which "),
        ("pids", ("pids.max", 60), "about 118 processes and threads, of which "),
    ],
    indirect=["group"],
)
def test_a_limit_of_a_control_group(
    empty: Labkit, lab_file: Path, group: Path, limit: tuple[str, int], short: str
) -> None:
    file, amount = limit
    (group / file).write_text(str(amount))
    status, text = limited(empty, f"echo $$ > {group}/cgroup.procs", "up", str(lab_file))
    assert status == 3, text
    assert short in text.splitlines()[0]
    assert f"{file} of the control group {group}" in text.splitlines()[0]
    assert not (empty.home / "labkit" / "labs").exists()
