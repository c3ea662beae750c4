"""Why a session went down, in words: ExaBGP gives a NOTIFICATION's numbers, or the error of its socket."""

from __future__ import annotations

import re

from labkit.daemons.notifications import notification_text

SPEAKER_ENDED = "the BGP speaker ended"

# ExaBGP's reasons without a NOTIFICATION.
_ITS_OWN = {
    "": "connection closed",
    "closing connection": "connection closed",
    "stop, message [removed]": "peer deconfigured",
    "stop, message [shutting down]": SPEAKER_ENDED,
}

_NOTIFICATION = re.compile(r"notification (received|sent) \((\d+),(\d+)\)")


def reason_text(reason: str) -> str:
    """The reason of ExaBGP's `down` event for people: `notification sent (4,0)` is `hold timer expired`."""
    match = _NOTIFICATION.search(reason)
    if match is None:
        return _ITS_OWN.get(reason, reason)
    return notification_text(int(match[2]), int(match[3]), received=match[1] == "received")
