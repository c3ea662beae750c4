"""`GET /v1/status` and `GET /v1/events`: feeds, sessions and backends of a running lab, and what happened in it.

Read by `labkit status` and `labkit events`, so it imports little. Times are Unix seconds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from labkit.azure.model import InstanceId
from labkit.daemons.tables import ESTABLISHED
from labkit.lab.sessions import BgpSession

UP = "Up"
"""The state of a backend that answers its probes."""


@dataclass(frozen=True, slots=True)
class NodeFeed:
    """The feed of a node: the numbers of the last message sent to it and applied by it, and its last error, if any."""

    role: str
    connected: bool
    sent_seq: int
    applied_seq: int
    applied_at: float
    error: str

    @property
    def up_to_date(self) -> bool:
        """Whether the node has applied everything that was sent to it."""
        return self.connected and 0 < self.sent_seq == self.applied_seq


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """Whether a route server's instance is up, and whether it is still joining: its first report is awaited."""

    up: bool
    joining: bool


class SessionStatus(ABC):
    """What the sessions of route servers and gateways have in common."""

    __slots__ = ()
    state: str

    @property
    @abstractmethod
    def id(self) -> InstanceId:
        """The instance whose session it is."""

    @property
    def established(self) -> bool:
        """Whether the session is up."""
        return self.state == ESTABLISHED


@dataclass(frozen=True, slots=True)
class RouteServerSession(SessionStatus):
    """A session of a route server's instance, its state's beginning (null: unknown) and reason."""

    route_server: str
    instance: int
    peer: str
    state: str
    since: float | None
    reason: str

    @property
    def id(self) -> InstanceId:
        """The instance."""
        return InstanceId(self.route_server, self.instance)


@dataclass(frozen=True, slots=True)
class GatewaySession(SessionStatus):
    """A session of a gateway's instance, its state's beginning (null: unknown) and reason."""

    gateway: str
    instance: int
    neighbour: str
    state: str
    since: float | None
    reason: str

    @property
    def id(self) -> InstanceId:
        """The instance."""
        return InstanceId(self.gateway, self.instance)


@dataclass(frozen=True, slots=True)
class BackendStatus:
    """A backend of a load balancer; its state is `Up`, `Down`, or `Unknown` before any probe."""

    load_balancer: str
    frontend: IPv4Address
    backend: str
    address: IPv4Address
    state: str
    reason: str

    @property
    def up(self) -> bool:
        """Whether the load balancer sends flows to it."""
        return self.state == UP


@dataclass(frozen=True, slots=True)
class PlatformStatus:
    """A running lab: feeds and instances by node, sessions, backends, and whether every table is programmed.

    `configured` are all BGP sessions for which nodes are configured, those among NVAs, sites and circuits included.
    `reported`, `received` and `concluded` are when an instance last sent a report, when the controller received it, and
    when all followed from it; 0 before the first.
    """

    lab: str
    nodes: Mapping[str, NodeFeed] = field(default_factory=dict)
    instances: Mapping[str, InstanceStatus] = field(default_factory=dict)
    sessions: tuple[RouteServerSession, ...] = ()
    gateways: tuple[GatewaySession, ...] = ()
    backends: tuple[BackendStatus, ...] = ()
    programmed: bool = False
    reported: float = 0.0
    received: float = 0.0
    concluded: float = 0.0
    configured: tuple[BgpSession, ...] = ()


@dataclass(frozen=True, slots=True)
class LabEvent:
    """One thing that happened at a node; `cause` is empty where none is known."""

    time: float
    node: str
    kind: str
    text: str
    cause: str = ""
