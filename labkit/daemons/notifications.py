"""NOTIFICATION messages in BGP's words, as IANA's registry has them.

RFC 4271 §4.5, RFC 4486 §3, RFC 5492 §5, RFC 6608 §3, RFC 7313 §5, RFC 8538 §3, RFC 9234 §4.2, RFC 9384, RFC 9687.
"""

from __future__ import annotations

_CODES = {
    1: "message header error",
    2: "OPEN message error",
    3: "UPDATE message error",
    4: "hold timer expired",
    5: "finite state machine error",
    6: "cease",
    7: "ROUTE-REFRESH message error",
    8: "send hold timer expired",
}

_OF_MESSAGES = {1, 2, 3, 7}
"""The codes whose subcodes need them to be understood."""

_SUBCODES = {
    (1, 1): "connection not synchronized",
    (1, 2): "bad message length",
    (1, 3): "bad message type",
    (2, 1): "unsupported version number",
    (2, 2): "bad peer AS",
    (2, 3): "bad BGP identifier",
    (2, 4): "unsupported optional parameter",
    (2, 6): "unacceptable hold time",
    (2, 7): "unsupported capability",
    (2, 11): "role mismatch",
    (3, 1): "malformed attribute list",
    (3, 2): "unrecognized well-known attribute",
    (3, 3): "missing well-known attribute",
    (3, 4): "attribute flags error",
    (3, 5): "attribute length error",
    (3, 6): "invalid ORIGIN attribute",
    (3, 8): "invalid NEXT_HOP attribute",
    (3, 9): "optional attribute error",
    (3, 10): "invalid network field",
    (3, 11): "malformed AS_PATH",
    (5, 1): "receive unexpected message in OpenSent state",
    (5, 2): "receive unexpected message in OpenConfirm state",
    (5, 3): "receive unexpected message in Established state",
    (6, 1): "maximum number of prefixes reached",
    (6, 2): "administrative shutdown",
    (6, 3): "peer de-configured",
    (6, 4): "administrative reset",
    (6, 5): "connection rejected",
    (6, 6): "other configuration change",
    (6, 7): "connection collision resolution",
    (6, 8): "out of resources",
    (6, 9): "hard reset",
    (6, 10): "BFD down",
    (7, 1): "invalid message length",
}


def notification_text(code: int, subcode: int, *, received: bool) -> str:
    """The reason of a NOTIFICATION for people, such as `bad peer AS`; with whose decision it was.

    An error in an OPEN, an UPDATE or a header has the message's name too: `UPDATE message error: malformed AS_PATH`.
    """
    general = _CODES.get(code, f"notification {code}/{subcode}")
    text = _SUBCODES.get((code, subcode), general)
    if text != general and code in _OF_MESSAGES:
        text = f"{general}: {text}"
    return f"{text} (received from the peer)" if received else text
