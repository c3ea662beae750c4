"""The Debian side of the image: a root file system by mmdebstrap, owned by whoever builds it.

As root mmdebstrap runs with root's rights, else in a user namespace with the user's subordinate ids. Its tar archive is
the same, and is unpacked as the builder's own files: a lab's nodes know one user only, root, which is the builder.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from labkit.daemons.registry import DAEMONS
from labkit.errors import EnvironmentProblem, InvalidInput, LabkitError
from labkit.runtimes import prerequisites
from labkit.runtimes.image.definition import Package
from labkit.runtimes.image.run import Build, ToolFailed, disk_full, need_space

SUITE = "trixie"
_DEBIAN = ("http://deb.debian.org/debian", "http://deb.debian.org/debian-security")
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
TOOLS = {"mmdebstrap": "mmdebstrap", "tar": "tar", "setpriv": "util-linux", "unshare": "util-linux"}
UNPRIVILEGED_TOOLS = {"newuidmap": "uidmap", "newgidmap": "uidmap", "unshare": "util-linux"}
# Measured: 320 MB at the peak of an mmdebstrap run.
_SCRATCH_MEGABYTES = 500
# Only the progress display depends on it.
_EXPECTED_PACKAGES = 170
_EXCLUDED = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")
_NETWORK_SETTINGS = re.compile(r"Acquire::(https?::|Check-|Retries|ForceIPv)")
_RELEASE_FILE = re.compile(r"'(?P<mirror>https?://\S+)/dists/(?P<suite>\S+)/InRelease'")
_NO_PACKAGE = re.compile(r"(?:Unable to locate package |Package ')([a-z0-9+.-]+)")
_DEPENDENCY = re.compile(r"\S+ : (Depends|Pre-Depends|Conflicts|Breaks): ")
_NOT_TOGETHER = ("unmet dependencies", "held broken packages", "Unable to satisfy dependencies")
_NO_NETWORK = ("resolv", "connect", "timed out", "Failed to fetch", "proxy", "404", "403", "unreachable")


def check() -> None:
    """Check everything that a build needs of this machine, before it starts.

    Raises:
        EnvironmentProblem: a missing tool, user namespaces refused, no subordinate ids, no scratch space.
    """
    prerequisites.need_tools(TOOLS, "Building the image")
    if not prerequisites.is_root():
        prerequisites.need_user_namespaces()  # first: without them, installing the tools does not help
        prerequisites.need_tools(UNPRIVILEGED_TOOLS, "Building the image as an ordinary user")
        prerequisites.need_subordinate_ids()
    need_space(_scratch_parent(), _SCRATCH_MEGABYTES, "the image build's scratch space")


def try_out(build: Build, packages: Sequence[str], *, remember: Path) -> None:
    """Check that packages can be installed together, by the archive's index alone: a refusal takes no whole build.

    Raises:
        EnvironmentProblem: no mirror, bad signatures, a full disk.
        InvalidInput: there are no such packages, or they don't go together.
    """
    sources = mirror_sources(SUITE)
    with _scratch(remember) as scratch:
        try:
            build.run(
                [*_mmdebstrap(packages), "--simulate", SUITE, "/dev/null", *sources],
                environment={"TMPDIR": str(scratch)},
            )
        except ToolFailed as failure:
            raise _explain(failure, scratch, sources) from failure


def bootstrap(
    build: Build, root: Path, packages: Sequence[str], suite: str = SUITE, *, remember: Path | None = None
) -> None:
    """Fill the directory `root` with a Debian root file system without device nodes.

    `remember` is a file that holds the scratch directory's name while there is one, for `sweep` after a power cut.

    Raises:
        EnvironmentProblem: no mirror, bad signatures, a full disk.
        InvalidInput: there are no such packages, or they don't go together.
    """
    command = [*_mmdebstrap(packages), "--format=tar"]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED]
    command += ["--dpkgopt=path-include=/usr/share/doc/*/copyright"]
    sources = mirror_sources(suite)
    # Device nodes can't be made by an ordinary user, and every runtime brings its own /dev.
    unpack: list[str | Path] = [
        "tar",
        "--extract",
        "--directory",
        root,
        "--no-same-owner",
        "--preserve-permissions",
        "--exclude=./dev/*",
    ]
    events = 0

    def on_line(line: str) -> None:
        nonlocal events
        if line.startswith(("Get:", "Unpacking ", "Setting up ")):
            events += 1
        build.advance(events / (3.2 * _EXPECTED_PACKAGES), line)

    with _scratch(remember) as scratch:
        try:
            build.run(
                [*command, suite, "-", *sources],
                environment={"TMPDIR": str(scratch)},
                into=unpack,
                on_line=on_line,
            )
        except ToolFailed as failure:
            raise _explain(failure, root, sources) from failure


def _mmdebstrap(packages: Sequence[str]) -> list[str]:
    # As root it mounts /proc, /sys and more into the tree, and leaves them there when it is killed. In a mount
    # namespace of its own they are gone with it, and removing the tree can't reach through them into the machine.
    command = ["unshare", "--mount"] if prerequisites.is_root() else []
    mode = "root" if prerequisites.is_root() else "unshare"
    command += ["mmdebstrap", f"--mode={mode}", "--variant=minbase", "--verbose", f"--include={','.join(packages)}"]
    return [*command, *(f"--aptopt={setting}" for setting in apt_network_settings())]


def normalise(root: Path) -> None:
    """Make the tree independent of the machine that built it, and safe as an ordinary user's files.

    Set-user-id bits would let others act as the builder; every process of a node is root anyway.
    """
    for directory, _names, files in os.walk(root):
        for path in (Path(directory), *(Path(directory, name) for name in files)):
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                continue
            wanted = stat.S_IMODE(mode) & ~(stat.S_ISUID | stat.S_ISGID)
            wanted |= 0o700 if stat.S_ISDIR(mode) else 0o400
            if wanted != stat.S_IMODE(mode):
                path.chmod(wanted)
    for left in ("etc/hostname", "etc/apt/sources.list", "etc/apt/apt.conf.d/99mmdebstrap"):
        (root / left).unlink(missing_ok=True)
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/resolv.conf").write_text("")
    (root / "etc/resolv.conf").chmod(0o644)
    for daemon in DAEMONS.values():
        daemon.installation.prepare(root)


def open_up(tree: Path) -> None:
    """Make every file below `tree` readable to all, whatever the builder's umask was."""
    for directory, _names, files in os.walk(tree):
        Path(directory).chmod(0o755)
        for path in (Path(directory, name) for name in files):
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                path.chmod(0o755 if mode & stat.S_IXUSR else 0o644)


def installed_versions(root: Path) -> dict[str, str]:
    """The Debian packages in a root file system: name to version."""
    versions = {}
    for stanza in (root / "var/lib/dpkg/status").read_text().split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|Status): (.*)$", stanza, flags=re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            versions[fields["Package"]] = fields["Version"]
    return dict(sorted(versions.items()))


def check_versions(packages: Sequence[Package], versions: dict[str, str]) -> None:
    """Check that the mirror gave the versions that labkit was tested with.

    Raises:
        EnvironmentProblem: it gave another.
    """
    for package in packages:
        have = versions.get(package.name, "none")
        if not re.match(rf"(\d+:)?{re.escape(package.version)}(\W|$)", have) and package.version:
            raise EnvironmentProblem(
                f"The Debian mirror gave {package.name} {have}; labkit's image needs {package.version}.",
                f"Use a mirror that has Debian 13 ({SUITE}) itself: LABKIT_DEBIAN_MIRROR=http://deb.debian.org/debian",
            )


def mirror_sources(suite: str) -> list[str]:
    """The lines of a sources.list for `suite`.

    LABKIT_DEBIAN_MIRROR ("URL" or "URL SECURITY-URL") wins, else the mirror that a Debian machine's own apt uses, else
    Debian's own.
    """
    chosen = os.environ.get("LABKIT_DEBIAN_MIRROR", "").split()
    archive, security = [*chosen, ""][:2] if chosen else _own_mirror()
    # Named, since mmdebstrap finds it by itself only where gpg is installed, which a small machine lacks.
    key = f"[signed-by={_KEYRING}] " if _KEYRING.exists() else ""
    lines = [f"deb {key}{archive} {suite} main", f"deb {key}{archive} {suite}-updates main"]
    return [*lines, f"deb {key}{security} {suite}-security main"] if security else lines


def apt_network_settings() -> list[str]:
    """The settings of this machine's apt that reach a mirror (proxies, certificates), as apt.conf lines."""
    if shutil.which("apt-config") is None:
        return []
    command = ["apt-config", "dump", "--no-empty", "--format", '%F "%v";%n', "Acquire"]
    dump = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return [line for line in dump.splitlines() if _NETWORK_SETTINGS.match(line)]


def sweep(remember: Path) -> None:
    """Remove the scratch directory that an earlier build recorded and could not remove itself."""
    if remember.exists():
        _remove_scratch(Path(remember.read_text()))
        remember.unlink()


def _own_mirror() -> tuple[str, str]:
    release = Path("/etc/os-release")
    fields = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', release.read_text() if release.exists() else "", re.MULTILINE))
    codename = fields.get("VERSION_CODENAME", "")
    if fields.get("ID") != "debian" or not codename or shutil.which("apt-get") is None:
        return _DEBIAN
    listing = subprocess.run(["apt-get", "--print-uris", "update"], capture_output=True, text=True, check=False).stdout
    mirrors = {match["suite"]: match["mirror"] for match in _RELEASE_FILE.finditer(listing)}
    return (mirrors[codename], mirrors.get(f"{codename}-security", "")) if codename in mirrors else _DEBIAN


def _scratch_parent() -> Path:
    # Not /tmp: often a small tmpfs, and mounted nodev, which mmdebstrap refuses as root.
    return Path(os.environ.get("TMPDIR") or "/var/tmp")  # noqa: S108 - only the parent of a private directory


@contextmanager
def _scratch(remember: Path | None) -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="labkit-image-", dir=_scratch_parent()))
    if remember:
        remember.write_text(str(directory))
    try:
        directory.chmod(0o711)  # mmdebstrap's subordinate users pass through it
        yield directory
    finally:
        _remove_scratch(directory)
        if remember:
            remember.unlink(missing_ok=True)


def _remove_scratch(directory: Path) -> None:
    """Remove a scratch directory, and what mmdebstrap left in it when it was killed."""
    if directory.exists() and any(directory.iterdir()):
        if prerequisites.is_root():
            shutil.rmtree(directory)
        else:  # the files belong to the user's subordinate ids
            helper = ["mmdebstrap", "--unshare-helper", "rm", "-rf", *map(str, directory.iterdir())]
            subprocess.run(helper, check=False, capture_output=True)
    shutil.rmtree(directory, ignore_errors=True)


def _explain(failure: ToolFailed, root: Path, sources: Sequence[str]) -> LabkitError:
    if failure.mentions("No space left on device", "Disk quota exceeded"):
        return disk_full(root)
    if failure.mentions("NO_PUBKEY", "not signed", "GPG error", "Missing key", "keyring"):
        return EnvironmentProblem(
            f"The Debian mirror's signature can't be checked: {failure.last_error()}",
            "Run: sudo apt-get install debian-archive-keyring    (its newest version knows Debian 13's keys)",
        )
    if missing := dict.fromkeys(found[1] for line in failure.tail if (found := _NO_PACKAGE.search(line))):
        return InvalidInput(
            f"Debian 13 ({SUITE}) has no package {', '.join(missing)}. The image stays as it is.",
            f"Look for its name: https://packages.debian.org/{SUITE}/",
        )
    if failure.mentions(*_NOT_TOGETHER):
        reasons = [line.strip() for line in failure.tail if _DEPENDENCY.search(line)]
        return InvalidInput(
            f"Debian's packages do not go together: {'; '.join(reasons) or failure.last_error()}. "
            "The image stays as it is.",
            "Leave one of them out: labkit image build --with ... --without ...",
        )
    if failure.mentions(*_NO_NETWORK):
        asked = next(word for word in sources[0].split() if "://" in word)
        return EnvironmentProblem(
            f"No Debian mirror can be reached ({asked}): {failure.last_error()}",
            "Check the network, or name a mirror: LABKIT_DEBIAN_MIRROR=http://... (http_proxy and apt's own proxy "
            "settings are used too).",
        )
    return EnvironmentProblem(
        f"{'tar' if failure.tool == 'tar' else 'mmdebstrap'} could not make the image: {failure.last_error()}",
        "The build's log, images/last-failure.log in labkit's cache folder, has the complete output.",
    )
