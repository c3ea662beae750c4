"""What the feeds of every role have in common: a hello, an acknowledgement, and a codec for each direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from labkit.feed.codec import Codec

Down = TypeVar("Down")
Up = TypeVar("Up")


@dataclass(frozen=True, slots=True)
class Hello:
    """A node introduces itself: the first message of every feed."""

    TYPE: ClassVar = "hello"
    role: str
    node: str


@dataclass(frozen=True, slots=True)
class Applied:
    """Message number `seq` is true in the node's kernel, or `error` is the reason why it is not."""

    TYPE: ClassVar = "applied"
    seq: int
    error: str | None = None


HELLO: Codec[Hello] = Codec(Hello)
APPLIED: Codec[Applied] = Codec(Applied)


@dataclass(frozen=True)
class Channel(Generic[Down, Up]):
    """What travels on the feeds of nodes in a role: `down` to the node, `up` to the controller."""

    role: str
    down: Codec[Down]
    up: Codec[Up]
