"""The Docker engine on this machine: reaching it, and a clear word when it can't be reached or refuses."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, cast

import docker
from docker.errors import APIError, DockerException, NotFound
from docker.utils import version_lt
from requests.exceptions import RequestException

from labkit.errors import EnvironmentProblem
from labkit.patience import waiting

SOCKET = "/var/run/docker.sock"
SET_UP = (
    "Run in labkit's repository: make containerlab    (it installs and starts what is missing; "
    "by hand: https://containerlab.dev/install)"
)
_SECONDS = 60
_ANSWERS_WITHIN = 5.0
"""Seconds in which an engine that works answers a ping."""
_CONNECTIONS = 32
"""Requests that may run side by side: `verify` runs several commands at once."""


Container = dict[str, Any]
"""A container as the engine's list call shows it."""


class EngineIsSilent(EnvironmentProblem):
    """There is an engine, and it does not answer (exit code 3)."""


def engine() -> docker.APIClient:
    """The engine that `DOCKER_HOST` names, else the one at the usual socket; one client a process.

    Raises:
        EnvironmentProblem: there is none, it is not running, or the user may not use it.
    """
    return _client(socket_path())


def version() -> str:
    """The engine's version. Raises EnvironmentProblem as `engine` does."""
    with translated():
        return str(engine().version()["Version"])


def engine_is_older_than(version: str) -> bool:
    """Whether the engine's API is older than this version (Docker 23's is 1.42)."""
    return version_lt(engine().api_version, version)


@lru_cache(maxsize=4)
def _client(path: str) -> docker.APIClient:
    if silence := _silence(path):
        raise silence
    with translated():
        # The default pool closes what exceeds its size, one connection after the other.
        return docker.APIClient(base_url=f"unix://{path}", version="auto", timeout=_SECONDS, max_pool_size=_CONNECTIONS)


def socket_path() -> str:
    """The engine's socket."""
    host = os.environ.get("DOCKER_HOST", "")
    if host and not host.startswith("unix://"):
        raise EnvironmentProblem(
            f"DOCKER_HOST is {host}: containerlab needs a Docker engine on this machine.",
            "Unset it, or name a socket: unix:///run/docker.sock",
        )
    return host.removeprefix("unix://") or SOCKET


@lru_cache(maxsize=4)
def _silence(path: str) -> EngineIsSilent | None:
    """The error for an engine that does not answer; a process waits for that once."""
    try:
        _knock(path)
    except EngineIsSilent as silence:
        return silence
    return None


def _knock(path: str) -> None:
    """Ping the engine, because the SDK's own words hide why it does not answer, and come late."""
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_ANSWERS_WITHIN)
            with waiting(f"the Docker engine at {path}", _ANSWERS_WITHIN):
                probe.connect(path)
                probe.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
                probe.recv(1)
    except FileNotFoundError as error:
        raise EnvironmentProblem(f"No Docker engine runs on this machine ({path} does not exist).", SET_UP) from error
    except PermissionError as error:
        raise EnvironmentProblem(
            f"You may not use the Docker engine ({path}: permission denied).",
            "Join its group (sudo usermod --append --groups docker $USER, then log in again), or use sudo.",
        ) from error
    except TimeoutError as error:
        raise EngineIsSilent(
            f"The Docker engine does not answer within {_ANSWERS_WITHIN:g} s ({path}).",
            "Its log has the reason (sudo journalctl --unit docker). Start it again: sudo systemctl restart docker",
        ) from error
    except OSError as error:
        raise EnvironmentProblem(
            f"The Docker engine does not answer ({path}: {error.strerror or error}).",
            f"Start it (sudo systemctl start docker). {SET_UP}",
        ) from error


@contextmanager
def translated() -> Iterator[None]:
    """Turn the SDK's exceptions into labkit's; a missing object's `NotFound` is left to the caller."""
    try:
        yield
    except NotFound:
        raise
    except APIError as error:
        raise refusal(str(error.explanation or error)) from error
    except (DockerException, RequestException, OSError) as error:
        raise EnvironmentProblem(
            f"The Docker engine no longer answers ({socket_path()}: {_why(error)}).",
            "Its log has the reason (sudo journalctl --unit docker). Start it again: sudo systemctl restart docker",
        ) from error


def refusal(text: str) -> EnvironmentProblem:
    """The error for what the engine answers instead of doing it."""
    if "no space left on device" in text.casefold():
        return EnvironmentProblem(
            f"Docker's disk is full: {text}", "Free some space (docker system df shows what uses it), then repeat."
        )
    return EnvironmentProblem(f"The Docker engine refuses: {text}", "Look at its log, and at `labkit doctor`.")


def _why(error: BaseException) -> str:
    """The system's words, which lie below the SDK's and its libraries'."""
    cause: BaseException | None = error
    while cause is not None and (isinstance(cause, RequestException) or not isinstance(cause, OSError)):
        cause = cause.__cause__ or cause.__context__
    return str(error if cause is None else cause.strerror or cause)


def containers(labels: Mapping[str, str], *, running: bool = False) -> list[Container]:
    """The engine's containers with these labels ("": whatever value), as its list call shows them."""
    wanted = [f"{name}={value}" if value else name for name, value in labels.items()]
    with translated():
        found = engine().containers(all=not running, filters={"label": wanted})
    return cast("list[Container]", found)
