"""What the sandbox's processes send each other, as JSON (`wire`): whoever deploys a lab, launcher, init, and verbs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict


class SandboxError(TypedDict):
    """A failure: `kind` is `input` or `environment`, as are the classes of errors."""

    kind: str
    message: str
    remedy: str


class NodeRow(TypedDict):
    """A node as `labkit.runtimes.protocol.NodeStatus` has it."""

    name: str
    state: str
    health: str
    image: str
    exit_code: int | None


class BootOrder(TypedDict):
    """From whoever deploys: the lab as `spec.SandboxLab.to_json` gives it, and the folder of its state."""

    lab: Mapping[str, Any]
    directory: str


class BootCommit(TypedDict):
    """From whoever deploys, once it has seen that the lab is up: from then on the lab outlives it."""

    commit: bool


class BootEvent(TypedDict, total=False):
    """To whoever deploys: `event` is what a node has reached, or `refused`, `error`, `up` or `committed`.

    Refused for a `reason` (`in-use`, `directory`, `namespaces`) with the kernel's `text`; `claimed` is whether the
    lab's folder is this deploy's. Up with the `timings` of phases, by the monotonic clock.
    """

    event: str
    node: str
    reason: str
    text: str
    claimed: bool
    error: SandboxError
    timings: dict[str, float]
    nodes: Sequence[NodeRow]


class ControlRequest(TypedDict, total=False):
    """What a connection to the control socket asks (`control` has which `op` needs what), or a `signal` after it."""

    op: str
    node: str
    argv: list[str]
    env: dict[str, str]
    timeout: float | None
    terminal: bool
    within: float | None
    path: str
    signal: int
    lab: Mapping[str, Any]
    restart: Sequence[str]


class ControlAnswer(TypedDict, total=False):
    """What the control socket answers (`control`)."""

    error: SandboxError
    nodes: Sequence[NodeRow]
    started: bool
    exit: int
    timeout: bool
    connected: bool
    refused: str
