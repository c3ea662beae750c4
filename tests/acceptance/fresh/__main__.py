"""The README's two commands on a bare machine: `python -m tests.acceptance.fresh [--suite SUITE] [COMMAND...]`.

Makes a minimal Debian root file system with git, make and sudo and nothing else, enters it by pivot_root (the kernel
refuses user namespaces in a chroot), and runs the commands there in a clean clone of HEAD, as an ordinary user who may
use sudo. It is the proof that no step of the installation is missing. Only the network is the machine's own, for the
package registries, with this machine's settings to reach them. Needs root. Everything is removed at the end, and after
Ctrl-C too.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from labkit.runtimes.image.debian import apt_network_settings, mirror_sources

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent.parent
USER = "student"
PACKAGES = ("ca-certificates", "git", "make", "sudo")
COMMANDS = ("make lab-up", "make test")
# Settings of this machine that reach registries; the rest of the environment stays out.
PASSED_ON = re.compile(r"PIP_.*|(https?|no|all)_proxy|(HTTPS?|NO|ALL)_PROXY|SSL_CERT_(FILE|DIR)|LABKIT_DEBIAN_MIRROR")


def main() -> int:
    """Run it; returns the exit status of the first command that fails, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.fresh")
    parser.add_argument("--suite", default="bookworm", help="the Debian release of the machine (bookworm, trixie)")
    parser.add_argument("commands", nargs="*", default=list(COMMANDS), help="what to run, instead of README's commands")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("make fresh needs root: it makes a root file system and enters it. Run: sudo make fresh", file=sys.stderr)
        return 3
    if git("status", "--porcelain"):
        print(" fresh     uncommitted changes are not part of the test: it clones HEAD", file=sys.stderr)
    # Not /tmp: often a small tmpfs, and mounted nodev.
    work = Path(tempfile.mkdtemp(prefix="labkit-fresh-", dir=os.environ.get("TMPDIR", "/var/tmp")))
    try:
        root = work / "root"
        told("bare Debian " + options.suite, lambda: bootstrap(root, options.suite, work / "mmdebstrap.log"))
        told("user, clone, registries", lambda: furnish(root))
        return enter(root, options.commands)
    except subprocess.CalledProcessError as error:
        print(f"{error}\n{(error.stderr or '').strip()}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    finally:
        work.chmod(0o700)
        shutil.rmtree(work)


def told(what: str, do: Callable[[], None]) -> None:
    """Do something and print how long it took."""
    began = time.monotonic()
    do()
    print(f" fresh     {what} ✓ {time.monotonic() - began:.0f} s", flush=True)


def git(*arguments: str) -> str:
    """What git reports of this repository."""
    command = ["git", "-c", f"safe.directory={REPOSITORY}", "-C", str(REPOSITORY), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def bootstrap(root: Path, suite: str, log: Path) -> None:
    """Make the root file system."""
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    command += [f"--aptopt={setting}" for setting in apt_network_settings()]
    root.parent.chmod(0o755)  # the student's home is in it
    with log.open("w") as output:
        try:
            subprocess.run([*command, suite, str(root), *mirror_sources(suite)], check=True, stderr=output)
        except subprocess.CalledProcessError as error:
            error.stderr = log.read_text()[-2000:]
            raise


def furnish(root: Path) -> None:
    """Give the machine an ordinary user with sudo, a copy of the repository, and this machine's way to registries."""
    in_root = ["chroot", str(root)]
    subprocess.run([*in_root, "useradd", "--create-home", "--shell", "/bin/bash", USER], check=True)
    subordinates = (root / "etc/subuid").read_text()
    assert USER in subordinates, f"useradd gave no subordinate ids: {subordinates!r}"
    (root / "etc/sudoers.d/student").write_text(f"{USER} ALL=(ALL) NOPASSWD: ALL\n")
    (root / "etc/hostname").write_text("fresh\n")
    hosts = Path("/etc/hosts").read_text()
    (root / "etc/hosts").write_text(f"{hosts}\n127.0.0.1 fresh\n")
    bundle = root / "home" / USER / "labkit.bundle"
    git("bundle", "create", "--quiet", str(bundle), "HEAD")
    copies = [Path("/etc/resolv.conf"), Path("/etc/pip.conf"), *Path("/usr/local/share/ca-certificates").rglob("*.crt")]
    # Files that the settings name: a certificate bundle, a folder of wheels.
    copies += [Path(word) for value in registry_settings().values() for word in value.split() if word.startswith("/")]
    for source in copies:
        target = root / source.relative_to("/")
        if source.is_file() and (not target.exists() or source.parent == Path("/etc")):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copyfile(source, target)
        elif source.is_dir() and not target.exists():
            shutil.copytree(source, target)
    user_settings = Path.home() / ".config/pip/pip.conf"
    if user_settings.exists():
        shutil.copyfile(user_settings, root / "etc/pip.conf")
    subprocess.run([*in_root, "update-ca-certificates"], check=True, capture_output=True)


def registry_settings() -> dict[str, str]:
    """The environment variables that are passed on."""
    return {name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)}


def enter(root: Path, commands: list[str]) -> int:
    """Run the commands in the root file system, in namespaces that the kernel takes back with their last process."""
    settings = registry_settings() | {"TERM": os.environ.get("TERM", "dumb"), "LANG": "C.UTF-8"}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in settings.items()]
    lines += ["set -eu", "cd", "git -c advice.detachedHead=false clone --quiet labkit.bundle labkit", "cd labkit"]
    for command in commands:
        lines += [f"echo {shlex.quote(f'$ {command}')}", command]
    script = Path("home") / USER / "commands"
    (root / script).write_text("\n".join(lines) + "\n")
    unshare = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
    process = subprocess.Popen([*unshare, "sh", str(HERE / "enter"), str(root), USER, f"/{script}"])
    try:
        return process.wait()
    except BaseException:
        # Its only child is PID 1 in there; `unshare` ends when the kernel has ended everything else in there.
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
        process.wait()
        raise


if __name__ == "__main__":
    sys.exit(main())
