"""Where labkit keeps things: never where it depends on the working directory."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from labkit import paths
from labkit.errors import EnvironmentProblem

PASSWD = Path(pwd.getpwuid(os.getuid()).pw_dir)


@pytest.mark.parametrize(
    ("home", "xdg", "folder"),
    [
        ("/home/a", "/elsewhere", Path("/elsewhere/labkit")),
        ("/home/a", "relative", Path("/home/a/.local/state/labkit")),
        ("/home/a", "", Path("/home/a/.local/state/labkit")),
        ("relative", "", PASSWD / ".local/state/labkit"),
        ("", "./relative", PASSWD / ".local/state/labkit"),
        (None, None, PASSWD / ".local/state/labkit"),
        ("relative", "/elsewhere", Path("/elsewhere/labkit")),
    ],
)
def test_a_relative_path_is_ignored(
    monkeypatch: pytest.MonkeyPatch, home: str | None, xdg: str | None, folder: Path
) -> None:
    for name, value in (("HOME", home), ("XDG_STATE_HOME", xdg)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert paths.state_home() == folder


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "relative")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr("os.getuid", lambda: 4_000_000_000)
    with pytest.raises(EnvironmentProblem, match="HOME is not an absolute path, and user 4000000000 has") as found:
        paths.cache_home()
    assert "XDG_CACHE_HOME" in found.value.remedy
