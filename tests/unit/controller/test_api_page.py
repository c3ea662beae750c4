"""docs/api.md has what the code has of the API."""

from __future__ import annotations

from tools.api import COMMAND, PAGE, page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), f"make it again: {COMMAND}"
