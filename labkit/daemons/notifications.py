"""NOTIFICATION messages in words (RFC 4271 §6, RFC 4486 §3, RFC 8538 §3)."""

from __future__ import annotations

_CODES = {
    1: "message header error",
    2: "OPEN error",
    3: "UPDATE error",
    4: "hold timer expired",
    5: "state machine error",
    6: "cease",
}

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


def notification_text(code: int, subcode: int, *, received: bool) -> str:
    """The reason of a NOTIFICATION for people, such as `hold timer expired`; with whose decision it was."""
    text = _SUBCODES.get((code, subcode)) or _CODES.get(code, f"notification {code}/{subcode}")
    return f"{text} (received from the peer)" if received else text
