"""What containerlab may leave on the host: changed settings, names of network namespaces, interfaces, files.

Ownership decides all of it: by the names of the lab's own containers, by containerlab's markers around what it
writes into shared files, or by the label of what has appeared during a deployment of ours. Interfaces are not among it:
see `containerlab_tool.run`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from docker.errors import APIError, NotFound

from labkit import paths
from labkit.errors import EnvironmentProblem
from labkit.runtimes.containerlab.docker_engine import engine, translated

NAMES = Path("/run/netns")
HOSTS = Path("/etc/hosts")
SSH = Path("/etc/ssh/ssh_config.d")
SETTINGS = (Path("/proc/sys/net/ipv4/conf/all/rp_filter"), Path("/proc/sys/net/ipv4/conf/default/rp_filter"))
"""What containerlab sets for a management network and does not set back. labkit's own labs have none."""

_PARKED = "clab-park-"
_LONGEST_PARKED = 200


def parked_name(container: str) -> str:
    """The network namespace in which containerlab keeps the links of a stopped container."""
    name = _PARKED + container
    if len(name) <= _LONGEST_PARKED:
        return name
    suffix = hashlib.sha1(container.encode(), usedforsecurity=False).hexdigest()[:10]
    return f"{name[: _LONGEST_PARKED - 1 - len(suffix)]}-{suffix}"


def is_parked(container: str) -> bool:
    """Whether containerlab keeps links for this container: it was stopped, and did not end by itself."""
    return (NAMES / parked_name(container)).exists()


def links_are_parked(container: str) -> bool:
    """Whether all links of a container that is being stopped are out of it: its namespace's name goes last."""
    try:
        return (NAMES / container).readlink().name == parked_name(container)
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Before:
    """What the host was like before a deployment."""

    settings: dict[str, str]
    networks: frozenset[str]

    @classmethod
    def now(cls) -> Before:
        """The host as it is."""
        return cls(_settings(), frozenset(_networks()))

    def remember(self) -> None:
        """Keep the settings that have changed until they may be set back; the oldest count."""
        changed = {path: value for path, value in self.settings.items() if _settings()[path] != value}
        if changed:
            file = _remembered()
            file.parent.mkdir(parents=True, exist_ok=True)
            known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
            fresh = file.with_suffix(".new")
            fresh.write_text(json.dumps(changed | known))
            fresh.replace(file)

    def restore(self) -> None:
        """Take away what has appeared since, its containers being gone."""
        for name in _networks() - self.networks:
            with contextlib.suppress(NotFound, APIError):  # APIError: another lab uses it by now
                engine().remove_network(name)
        _write(self.settings)


def restore_settings() -> None:
    """Set back what deployments have changed, once no lab has a management network any more."""
    file = _remembered()
    if file.exists() and not _networks():
        _write(json.loads(file.read_text()))
        file.unlink()


def sweep(lab: str, containers: Iterable[str], folders: Iterable[Path]) -> None:
    """Remove the names of the lab's namespaces, and its parts of shared files.

    Args:
        lab: the lab.
        containers: the names that its containers had.
        folders: containerlab's folders of it.
    """
    for name in containers:
        link = NAMES / name
        if link.is_symlink():
            _as_root(link.unlink, link)
        parked = NAMES / parked_name(name)
        if parked.exists():
            subprocess.run(["ip", "netns", "delete", parked.name], capture_output=True, check=False)
            _must_be_gone(parked)
    _without_hosts(lab)
    ssh = SSH / f"clab-{lab}.conf"
    if ssh.exists():
        _as_root(ssh.unlink, ssh)
    for folder in folders:
        if folder.name == f"clab-{lab}":
            shutil.rmtree(folder, ignore_errors=True)


def _remembered() -> Path:
    return paths.state_home() / "containerlab" / "settings.json"


def _settings() -> dict[str, str]:
    return {str(path): path.read_text().strip() for path in SETTINGS}


def _write(settings: dict[str, str]) -> None:
    for path, value in settings.items():
        if Path(path) in SETTINGS and Path(path).read_text().strip() != value:
            _as_root(partial(Path(path).write_text, value), Path(path))


def _networks() -> set[str]:
    """The engine's networks that containerlab made."""
    with translated():
        return {str(network["Id"]) for network in engine().networks(filters={"label": "containerlab"})}


def _without_hosts(lab: str) -> None:
    begin, end = (f"###### CLAB-{lab}-{word} ######" for word in ("START", "END"))
    try:
        lines: Sequence[str] = HOSTS.read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return
    stripped = [line.strip() for line in lines]
    if begin in stripped and end in stripped[stripped.index(begin) :]:
        first, last = stripped.index(begin), stripped.index(end, stripped.index(begin))
        # In place, as containerlab does: the file may be a bind mount, which can't be replaced.
        _as_root(lambda: HOSTS.write_text("".join([*lines[:first], *lines[last + 1 :]])), HOSTS)


def _as_root(change: Callable[[], object], what: Path) -> None:
    try:
        change()
    except FileNotFoundError:
        return
    except OSError as error:
        raise EnvironmentProblem(
            f"{what} still has what containerlab left in it, and can't be changed: {error.strerror}.",
            "Run as root: labkit down LAB",
        ) from error


def _must_be_gone(path: Path) -> None:
    if path.exists():
        raise EnvironmentProblem(
            f"The network namespace {path} can't be removed.", f"Run: sudo ip netns delete {path.name}"
        )
