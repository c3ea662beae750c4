"""Messages as a fabric receives them: JSON, decoded, and taken into its state."""

from __future__ import annotations

import json
from typing import Any

from labkit.fabric import state
from labkit.fabric.state import Fabric
from labkit.feed.switch import FABRIC


def follow(fabric: Fabric | None, message: dict[str, Any]) -> Fabric:
    """The fabric after a message.

    Raises:
        ValueError: the message is not valid.
    """
    _, decoded = FABRIC.down.decode_numbered(json.dumps({"seq": 1, **message}))
    return state.follow(fabric, decoded())
