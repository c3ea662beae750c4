"""The progress of an `up`: a live line per phase on a terminal, a plain line per finished phase elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

NAME_WIDTH = 9


class Progress:
    """Tells phases to standard error; a `lifecycle.Reporter`. `total` is the seconds since it began."""

    def __init__(self, live: Live | None) -> None:
        self._live = live
        self._began = self._phase_began = time.monotonic()
        self._phase = ""

    @property
    def total(self) -> float:
        """Seconds since the first phase could begin."""
        return time.monotonic() - self._began

    def begin(self, phase: str) -> None:
        """A phase begins."""
        self._phase, self._phase_began = phase, time.monotonic()
        self.update("")

    def update(self, text: str, done: float | None = None) -> None:
        """Show how far the phase is, on a terminal."""
        if self._live is None:
            return
        line = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=1.0, completed=done, width=24) if done is not None else ""
        line.add_row(f" {self._phase.ljust(NAME_WIDTH)}", bar, text)
        self._live.update(line, refresh=True)

    def end(self, text: str) -> None:
        """The phase ended well: its line stays, with the time it took."""
        line = f" {self._phase.ljust(NAME_WIDTH)} {text}   {time.monotonic() - self._phase_began:.1f} s"
        if self._live is None:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
        else:
            self._live.update("", refresh=True)
            self._live.console.print(line, highlight=False, markup=False)


@contextmanager
def reporter() -> Iterator[Progress]:
    """A `Progress` that fits where standard error goes."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Progress(None)
        return
    with Live(console=console, transient=True, auto_refresh=False) as live:
        yield Progress(live)
