"""Commands of a fabric that fail, or never end."""

from __future__ import annotations

import pytest

from labkit.fabric import iproute


def test_a_command_that_never_ends_counts_as_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iproute, "_PATIENCE", 0.1)
    with pytest.raises(iproute.KernelRefused, match=r"^sleep 60: not done after 0 s$"):
        iproute.run(["sleep", "60"])


def test_a_command_that_fails_is_refused_in_its_own_words() -> None:
    with pytest.raises(iproute.KernelRefused, match=r"^sh: no$"):
        iproute.run(["sh"], ["echo no >&2", "exit 1"])
