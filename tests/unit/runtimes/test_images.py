"""The image: its names, its builds that fail or meet each other, its content. The real tools run wherever they can."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import labkit
from labkit.errors import EnvironmentProblem, InvalidInput, LabkitError
from labkit.runtimes.image import debian as image_debian
from labkit.runtimes.image import extra, images
from labkit.runtimes.image import run as image_run
from labkit.runtimes.image.definition import Definition, Package, node_definition
from labkit.runtimes.image.run import ToolFailed
from tests.e2e.waiting import eventually
from tests.extent import LONG
from tests.verbs import in_process

REPOSITORY = Path(labkit.__file__).parent.parent
ENSURE = (
    "from labkit.runtimes.image import images; images.ensure(images.node_image(), lambda p: print(p.step, flush=True))"
)


@pytest.fixture(scope="module")
def image() -> images.Image:
    return images.ensure(images.node_image())


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "labkit" / "images"


@pytest.fixture
def cache_with_base(image: images.Image, cache: Path) -> Path:
    """A cache that has today's base, and nothing else."""
    cache.mkdir(parents=True)
    base = image.layers[-1].parent
    (cache / base.name).symlink_to(base)
    return cache


def python(code: str, cache: Path, **variables: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "XDG_CACHE_HOME": str(cache.parent.parent)} | variables
    return subprocess.Popen([sys.executable, "-c", code], env=environment, text=True, stdout=subprocess.PIPE)


# --- Names


def copied(tmp_path: Path) -> Definition:
    definition = node_definition()
    shutil.copytree(definition.folder, tmp_path / "node")
    shutil.copytree(definition.package, tmp_path / "labkit", ignore=shutil.ignore_patterns("__pycache__"))
    return Definition(tmp_path / "node", tmp_path / "labkit")


def test_equal_content_has_an_equal_name_wherever_it_lies(tmp_path: Path) -> None:
    mine, other = node_definition(), copied(tmp_path)
    assert (mine.base_hash, mine.labkit_hash) == (other.base_hash, other.labkit_hash)
    assert images.node_image().reference == f"labkit/node:{mine.labkit_hash}"


@pytest.mark.parametrize(
    ("file", "base_changes", "labkit_changes"),
    [
        ("node/packages.txt", True, True),
        ("node/requirements.txt", True, True),
        ("node/base/usr/lib/python3/dist-packages/labkit.pth", True, True),
        ("node/labkit/opt/labkit/bin/node-init", False, True),
        ("node/labkit/opt/labkit/services/agent/run", False, True),
        ("labkit/azure/model/objects.py", False, True),
        ("labkit/errors.py", False, True),
        ("labkit/cli/main.py", False, False),
        ("labkit/runtimes/image/images.py", False, False),
    ],
)
def test_a_change_renames_what_it_is_in(tmp_path: Path, file: str, base_changes: bool, labkit_changes: bool) -> None:
    before = node_definition()
    after = copied(tmp_path)
    with (tmp_path / file).open("a") as changed:
        changed.write("# changed\n")
    assert (after.base_hash != before.base_hash, after.labkit_hash != before.labkit_hash) == (
        base_changes,
        labkit_changes,
    )


def test_nodes_have_the_versions_that_labkit_declares() -> None:
    declared = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
    wanted = (node_definition().folder / "requirements.in").read_text().splitlines()
    assert {line for line in wanted if not line.startswith("#")} <= set(declared)
    locked = (node_definition().folder / "requirements.txt").read_text()
    for line in wanted:
        assert line.startswith("#") or f"{line} \\\n    --hash=sha256:" in locked


# --- This machine's ways


def test_the_mirror_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_DEBIAN_MIRROR", "http://one/debian http://two/security")
    lines = [re.sub(r"\[.*\] ", "", line) for line in image_debian.mirror_sources("trixie")]
    assert lines == [
        "deb http://one/debian trixie main",
        "deb http://one/debian trixie-updates main",
        "deb http://two/security trixie-security main",
    ]


def test_another_frr_is_refused() -> None:
    image_debian.check_versions([Package("frr", "10.3"), Package("mtr-tiny", "")], {"frr": "10.3-3+deb13u1"})
    image_debian.check_versions([Package("frr", "10.3")], {"frr": "1:10.3"})
    for version in ("10.30-1", "8.4.4-1", "none"):
        with pytest.raises(EnvironmentProblem, match=re.escape(f"frr {version}")):
            image_debian.check_versions([Package("frr", "10.3")], {"frr": version})


@pytest.mark.parametrize(
    ("said", "message", "remedy"),
    [
        (
            "E: Failed to fetch http://x  Could not resolve 'x'",
            "No Debian mirror can be reached",
            "LABKIT_DEBIAN_MIRROR",
        ),
        ("tar: ./usr/bin/vtysh: Cannot write: No space left on device", "The disk is full", "XDG_CACHE_HOME"),
        ("W: GPG error: http://x InRelease: NO_PUBKEY 1234", "signature can't be checked", "debian-archive-keyring"),
        ("E: Unable to locate package nope", "has no package nope. The image stays", "packages.debian.org"),
        (
            "E: Package 'awk' has no installation candidate",
            "has no package awk. The image stays",
            "packages.debian.org",
        ),
        ("E: Unable to correct problems, you have held broken packages.", "do not go together", "--without"),
        ("E: something new", "could not make the image: E: something new", "last-failure.log"),
    ],
)
def test_failures_of_mmdebstrap_in_plain_words(said: str, message: str, remedy: str) -> None:
    failure = ToolFailed("mmdebstrap", 1, ["I: downloading", said, "I: cleaning up"])
    problem = image_debian._explain(failure, Path("/x"), ["deb http://x trixie main"])
    assert message in problem.message
    assert remedy in problem.remedy


def test_packages_that_do_not_go_together_are_named_with_the_reason() -> None:
    reason = "systemd-sysv : Conflicts: sysvinit-core but 3.14-4 is to be installed"
    said = ["The following packages have unmet dependencies:", f" {reason}", "E: ... you have held broken packages."]
    problem = image_debian._explain(ToolFailed("mmdebstrap", 1, said), Path("/x"), ["deb http://x trixie main"])
    assert problem.message == f"Debian's packages do not go together: {reason}. The image stays as it is."


# --- Packages that the user wants as well


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of its own, in which nobody has chosen packages."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "labkit"


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The references of images that were asked for, none of which is built in earnest."""
    asked: list[str] = []
    monkeypatch.setattr(images, "ensure", lambda spec, _progress=None: asked.append(spec.reference))
    return asked


def test_a_choice_of_packages_is_another_image_and_stays(built: list[str], state: Path) -> None:
    plain = images.node_image()
    assert in_process(["image", "build", "--with", "nginx-light", "hping3", "--with", "socat,curl"])[0] == 0
    assert extra.chosen() == ("hping3", "nginx-light", "socat"), "curl is in the image as it is"
    chosen = images.node_image()
    assert chosen.title == f"{chosen.reference} with hping3, nginx-light, socat"
    assert chosen.definition.base_hash != plain.definition.base_hash
    assert in_process(["image", "build"])[0] == 0
    assert in_process(["image", "build", "--without", "socat", "--with", "hping3"])[0] == 0
    assert extra.chosen() == ("hping3", "nginx-light")
    assert in_process(["image", "build", "--without", "hping3", "--without", "nginx-light"])[0] == 0
    assert built[:2] == [chosen.reference] * 2
    assert (built[3], images.node_image()) == (plain.reference, plain)
    assert not [path for path in state.iterdir() if path.is_file()]


@pytest.mark.usefixtures("state")
def test_a_choice_that_can_not_be_built_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    extra.choose(("hping3",))

    def refuse(*_: object) -> None:
        raise InvalidInput("Debian 13 (trixie) has no package nope.", "Look for its name.")

    monkeypatch.setattr(images, "ensure", refuse)
    status, _, messages = in_process(["image", "build", "--with", "nope"])
    assert (status, "has no package nope" in messages) == (2, True)
    assert extra.chosen() == ("hping3",)


@pytest.mark.usefixtures("built", "state")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--with", "no_package"), "'no_package' is not the name of a Debian package."),
        (("--with", "frr-"), "'frr-' is not the name of a Debian package."),
        (("--with", "curl=8.14"), "'curl=8.14' is not the name of a Debian package."),
        (("--without", "curl"), "curl is not a package that --with has added."),
        (("socat",), "labkit image build: socat: no option given."),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_a_choice_of_packages_that_is_refused(words: tuple[str, ...], message: str) -> None:
    status, _, messages = in_process(["image", "build", *words])
    assert (status, messages.splitlines()[0]) == (2, message)
    assert extra.chosen() == ()


@pytest.mark.parametrize(("content", "problem"), [("a b\nC\n", "'C' is not the name"), ("\xff", "can't be read")])
def test_a_choice_that_was_damaged_is_named(state: Path, content: str, problem: str) -> None:
    state.mkdir(parents=True)
    extra.file().write_bytes(content.encode("latin-1"))
    with pytest.raises(InvalidInput) as caught:
        images.node_image()
    assert str(extra.file()) in caught.value.message
    assert problem in caught.value.message


def test_packages_that_debian_does_not_have_are_refused_whole(cache: Path) -> None:
    with pytest.raises(LabkitError) as caught:
        images.ensure(images.node_image(("hping3", "no-such-package", "nor-this-one")))
    assert "has no package no-such-package, nor-this-one." in caught.value.message, caught.value.message
    assert left(cache) == {"lock", "last-failure.log"}


@pytest.mark.skipif(not LONG, reason="it builds an image: `make soak`")
@pytest.mark.usefixtures("state")
def test_an_image_with_more_packages(cache: Path) -> None:
    assert in_process(["image", "build", "--with", "hping3"])[0] == 0
    made = images.installed(images.node_image().reference)
    assert made is not None
    assert (made.layers[-1] / "usr/sbin/hping3").exists()
    status, output, messages = in_process(["image", "show"])
    assert (status, "with hping3" in messages) == (0, True)
    assert re.search(r"^hping3 +\S+ +--with$", output, re.MULTILINE)
    assert re.search(r"^frr +10\.3\S* +labkit$", output, re.MULTILINE)
    assert cache.is_dir()


# --- Builds that end badly


def left(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir()}


def test_no_mirror_leaves_nothing_but_the_log(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = Path(tempfile.mkdtemp(dir="/var/tmp"))  # tmp_path is closed to mmdebstrap's subordinate users
    scratch.chmod(0o711)
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setenv("LABKIT_DEBIAN_MIRROR", "http://127.0.0.1:9/debian")
    monkeypatch.setattr(image_debian, "apt_network_settings", lambda: ['Acquire::Retries "0";'])
    with pytest.raises(EnvironmentProblem) as caught:
        images.ensure(images.node_image())
    assert "No Debian mirror can be reached (http://127.0.0.1:9/debian)" in caught.value.message
    assert left(cache) == {"lock", "last-failure.log"}
    assert "127.0.0.1" in (cache / "last-failure.log").read_text()
    scratch.rmdir()  # it is empty


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_build_that_is_interrupted_leaves_nothing(cache: Path, how: signal.Signals) -> None:
    building = python(ENSURE, cache)
    assert building.stdout
    # The second line is one of mmdebstrap's: it and what unpacks its tree run.
    assert [building.stdout.readline() for _ in range(2)] == ["Debian 13\n"] * 2
    scratch = Path((cache / "scratch").read_text())
    eventually(lambda: list(scratch.iterdir()), bool, what="mmdebstrap works in its scratch folder")
    building.send_signal(how)
    building.stdout.read()
    building.wait()
    if how == signal.SIGKILL:
        # The next build waits until the tools of the dead one are gone, and sweeps up.
        next_one = python(
            "from labkit.runtimes.image import debian as image_debian, images\n"
            "with images._build_lock(images._home(), print): image_debian.sweep(images._home() / 'scratch'); "
            "images._remove(images._home() / 'building')",
            cache,
        )
        assert next_one.wait() == 0
    assert not scratch.exists()
    assert left(cache) == {"lock"}


def test_a_disk_that_is_too_small_is_refused_at_once(tmp_path: Path) -> None:
    inside = f"mount -t tmpfs -o size=50m tmpfs {tmp_path} && exec {sys.executable} -c '{ENSURE}'"
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run([*unshare, "sh", "-c", inside], env=environment, capture_output=True, text=True, check=False)
    assert "Not enough disk space for the node image" in done.stderr
    assert done.stdout == ""


def test_a_disk_that_fills_up_is_an_error_of_its_own(tmp_path: Path) -> None:
    log = (tmp_path / "log").open("w")
    with (tmp_path / "lock").open("w") as lock:
        build = image_run.Build(log, lambda _progress: None, lock.fileno())
        with pytest.raises(ToolFailed) as caught:
            build.run(["echo", "x"], into=["tee", "/dev/full"])
    assert "The disk is full" in image_debian._explain(caught.value, tmp_path, []).message


# --- Builds that go well


def test_two_at_once_build_once(cache_with_base: Path, image: images.Image) -> None:
    both = [python(ENSURE, cache_with_base) for _ in range(2)]
    said = [process.communicate()[0].split("\n")[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(said).count("labkit") == 1, said
    assert left(cache_with_base) == {"lock", *(layer.parent.name for layer in image.layers)}


def test_a_layer_without_its_manifest_is_built_again(cache_with_base: Path) -> None:
    spec = images.node_image()
    half = cache_with_base / f"node-{spec.definition.labkit_hash}"
    half.mkdir()
    assert images.installed(spec.reference) is None
    made = images.ensure(spec)
    assert made == images.installed(spec.reference)
    assert made.layers[0] == half / "rootfs"


def test_prune_keeps_what_is_needed(cache_with_base: Path) -> None:
    spec = images.node_image()
    images.ensure(spec)
    for name, base in (("node-old", "b1"), ("node-running", "b2")):
        (cache_with_base / name).mkdir()
        (cache_with_base / name / "manifest.json").write_text(json.dumps({"kind": "node", "base": base}))
        (cache_with_base / f"base-{base}").mkdir()
        (cache_with_base / f"base-{base}" / "manifest.json").write_text("{}")
    removed = images.prune(keep=["labkit/node:running", "labkit/node:unknown"])
    assert {path.name for path in removed} == {"base-b1", "node-old"}
    assert images.installed(spec.reference)
    assert images.installed("labkit/node:running")


@pytest.mark.parametrize("reference", ["labkit/node:0123456789abcdef", "debian:trixie", "labkit/node:../../etc", "x"])
@pytest.mark.usefixtures("cache")
def test_unknown_images_are_not_installed(reference: str) -> None:
    assert images.installed(reference) is None


# --- Content


def test_the_tree_holds_nothing_of_the_machine_that_built_it(image: images.Image) -> None:
    base = image.layers[-1]
    assert (base / "etc/resolv.conf").read_text() == ""
    assert not (base / "etc/hostname").exists()
    assert "frrvty:x:0:root\n" in (base / "etc/group").read_text()
    assert not (base / "opt/labkit/deps/bin").exists()
    for layer in image.layers:
        for directory, _names, files in os.walk(layer):
            for path in (Path(directory), *(Path(directory, name) for name in files)):
                status = path.lstat()
                assert status.st_uid == os.geteuid(), path
                assert not status.st_mode & (stat.S_ISUID | stat.S_ISGID) or stat.S_ISLNK(status.st_mode), path
                assert stat.S_IFMT(status.st_mode) in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK), path


def test_the_packages_are_known(image: images.Image) -> None:
    packages = image.packages()
    assert packages["frr"].startswith("10.3")
    assert {package.name for package in node_definition().packages} <= packages.keys()


def test_everything_python_is_compiled_for_good(image: images.Image) -> None:
    unchecked_hash = (1).to_bytes(4, "little")
    for layer, folder in ((image.layers[0], "opt/labkit/app"), (image.layers[1], "opt/labkit/deps")):
        sources = list((layer / folder).rglob("*.py"))
        assert sources
        for source in sources:
            compiled = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
            assert compiled.read_bytes()[4:8] == unchecked_hash, compiled


def archive(image: images.Image, look: Callable[[tarfile.TarInfo], None]) -> str:
    digest = hashlib.sha256()
    with subprocess.Popen(images.tar_command(image), stdout=subprocess.PIPE) as tar:
        assert tar.stdout
        with tarfile.open(fileobj=tar.stdout, mode="r|") as members:
            for member in members:
                look(member)
                digest.update(repr(sorted(member.get_info().items())).encode())
    assert tar.returncode == 0
    return digest.hexdigest()


def test_the_archive_for_docker_is_root_s_and_always_the_same(image: images.Image) -> None:
    modes: dict[str, int] = {}

    def look(member: tarfile.TarInfo) -> None:
        assert (member.uid, member.gid) == (0, 0)
        assert member.isreg() or member.isdir() or member.issym() or member.islnk()
        modes[member.name] = member.mode

    assert archive(image, look) == archive(image, look)
    assert modes["./opt/labkit/bin/node-init"] == 0o755
    assert modes["./opt/labkit/app/labkit/errors.py"] == 0o644
    assert modes["./usr/lib/frr/bgpd"] == 0o755
