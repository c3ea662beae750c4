"""Why a session went down, in words: ExaBGP gives a NOTIFICATION's numbers, or what its socket said."""

from __future__ import annotations

import re

_CODES = {
    1: "message header error",
    2: "OPEN error",
    3: "UPDATE error",
    4: "hold timer expired",
    5: "state machine error",
    6: "cease",
}

# RFC 4271 §6.2, RFC 4486 §3, RFC 8538 §3.
_SUBCODES = {
    (2, 2): "wrong peer AS",
    (2, 4): "unsupported optional parameter",
    (2, 6): "unacceptable hold time",
    (6, 1): "maximum number of prefixes reached",
    (6, 2): "administrative shutdown",
    (6, 3): "peer deconfigured",
    (6, 4): "administrative reset",
    (6, 5): "connection rejected",
    (6, 6): "other configuration change",
    (6, 7): "connection collision",
    (6, 8): "out of resources",
    (6, 9): "hard reset",
}

# What ExaBGP says without a NOTIFICATION.
_ITS_OWN = {
    "": "connection closed",
    "closing connection": "connection closed",
    "stop, message [removed]": "peer deconfigured",
    "stop, message [shutting down]": "the BGP speaker ended",
}

_NOTIFICATION = re.compile(r"notification (received|sent) \((\d+),(\d+)\)")


def reason_text(reason: str) -> str:
    """The reason of ExaBGP's `down` event for people: `notification sent (4,0)` is `hold timer expired`."""
    match = _NOTIFICATION.search(reason)
    if match is None:
        return _ITS_OWN.get(reason, reason)
    direction, code, subcode = match[1], int(match[2]), int(match[3])
    text = _SUBCODES.get((code, subcode)) or _CODES.get(code, f"notification {code}/{subcode}")
    return f"{text} (the peer's decision)" if direction == "received" else text
