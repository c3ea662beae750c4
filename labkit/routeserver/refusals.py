"""Which refused sessions are reported: every new reason, but no more than a log can hold."""

from __future__ import annotations

AGAIN = 600.0
"""Seconds after which the same refusal of the same address is reported again."""

REASONS, ADDRESSES = 5, 64
"""So many reasons for an address, and so many addresses, are reported within `AGAIN`. A speaker that tries again and
again, in ever other ways, neither fills the event log nor hides from it why another one is refused."""


class Refusals:
    """What was reported lately. Times are seconds of any clock that does not go back."""

    def __init__(self) -> None:
        self._reported: dict[str, dict[str, float]] = {}

    def is_news(self, address: str, reason: str, now: float) -> bool:
        """Whether a refusal is to be reported; if so, it counts as reported."""
        self._forget(now - AGAIN)
        reasons = self._reported.get(address, {})
        if reason in reasons or len(reasons) >= REASONS or (not reasons and len(self._reported) >= ADDRESSES):
            return False
        self._reported[address] = {**reasons, reason: now}
        return True

    def _forget(self, before: float) -> None:
        recent = {
            address: {reason: at for reason, at in reasons.items() if at > before}
            for address, reasons in self._reported.items()
        }
        self._reported = {address: reasons for address, reasons in recent.items() if reasons}
