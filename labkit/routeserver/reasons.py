"""Why a session ended or did not come up: ExaBGP gives a NOTIFICATION's numbers, or the error of its socket."""

from __future__ import annotations

import re

from labkit.daemons.notifications import notification_text

SPEAKER_ENDED = "the BGP speaker ended"

# ExaBGP's reasons without a NOTIFICATION.
_ITS_OWN = {
    "": "connection closed",
    "closing connection": "connection closed",
    "closing outgoing connection as we have another incoming on with higher router-id": "connection closed for another",
    "stop, message [removed]": notification_text(6, 3, received=False),
    "stop, message [shutting down]": SPEAKER_ENDED,
}

_NOTIFICATION = re.compile(r"notification (received|sent) \((\d+),(\d+)\)(?: AS (\d+) for (\d+))?")


def has_notification(reason: str) -> bool:
    """Whether the reason of ExaBGP's `down` event is a NOTIFICATION."""
    return _NOTIFICATION.search(reason) is not None


def reason_text(reason: str) -> str:
    """The reason of ExaBGP's `down` event for people: `notification sent (4,0)` is `hold timer expired`."""
    match = _NOTIFICATION.search(reason)
    if match is None:
        return _ITS_OWN.get(reason, reason)
    text = notification_text(int(match[2]), int(match[3]), received=match[1] == "received")
    return f"{text} ({match[4]} in its OPEN, {match[5]} registered)" if match[4] else text


def refusal_text(code: int, subcode: int) -> str:
    """Why a connection is refused before any OPEN, with the NOTIFICATION's numbers."""
    text = notification_text(code, subcode, received=False)
    return f"no peer has this address ({text})" if (code, subcode) == (6, 3) else text
