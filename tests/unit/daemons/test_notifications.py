"""NOTIFICATION messages in words."""

from __future__ import annotations

import pytest

from labkit.daemons.notifications import notification_text


@pytest.mark.parametrize(
    ("code", "subcode", "text"),
    [
        (1, 1, "message header error: connection not synchronized"),
        (2, 2, "OPEN message error: bad peer AS"),
        (2, 11, "OPEN message error: role mismatch"),
        (3, 11, "UPDATE message error: malformed AS_PATH"),
        (3, 0, "UPDATE message error"),
        (4, 0, "hold timer expired"),
        (5, 2, "receive unexpected message in OpenConfirm state"),
        (6, 2, "administrative shutdown"),
        (6, 0, "cease"),
        (7, 1, "ROUTE-REFRESH message error: invalid message length"),
        (9, 1, "notification 9/1"),
    ],
)
def test_its_words(code: int, subcode: int, text: str) -> None:
    assert notification_text(code, subcode, received=False) == text
    assert notification_text(code, subcode, received=True) == f"{text} (received from the peer)"
