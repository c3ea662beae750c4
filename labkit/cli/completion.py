"""The command line that a shell wants completed: bash has words in COMP_WORDS, others a line in a variable of Typer."""

from __future__ import annotations

import os
from collections.abc import Sequence

_ASKED, _BASH, _CURSOR, _OTHERS = "_LABKIT_COMPLETE", "COMP_WORDS", "COMP_CWORD", "_TYPER_COMPLETE_ARGS"


def asked() -> list[str] | None:
    """The words behind `labkit`, of which the last is incomplete, perhaps empty; None if no shell asks."""
    if _ASKED not in os.environ:
        return None
    line = os.environ.get(_BASH, os.environ.get(_OTHERS, ""))
    words = [*line.split(), *([""] if line.endswith(" ") else [])]
    return words[1 : int(os.environ[_CURSOR]) + 1] if _CURSOR in os.environ else words[1:]


def ask(words: Sequence[str]) -> None:
    """Have these words completed instead."""
    os.environ[_BASH] = os.environ[_OTHERS] = " ".join(["labkit", *words])
    os.environ[_CURSOR] = str(len(words))
