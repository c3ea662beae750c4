"""The progress of a verb: a live line per phase on a terminal; elsewhere a plain line per finished phase.

A phase that takes long has lines there, too, of how far it is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from labkit.cli.output import note, span

NAME_WIDTH = 9
_SPENT = 0.05
QUIET = 5.0
"""Seconds of a phase after which a line has how far it is, where there is no terminal."""


class ProgressLines:
    """Shows phases on standard error; a `lifecycle.Reporter`. `total` is the seconds since it began."""

    def __init__(self, live: Live | None) -> None:
        self._live = live
        self._began = self._phase_began = self._shown = time.monotonic()
        self._phase = ""

    @property
    def total(self) -> float:
        """Seconds since the first phase could begin."""
        return time.monotonic() - self._began

    def begin(self, phase: str) -> None:
        """A phase begins."""
        self._phase = phase
        self._phase_began = self._shown = time.monotonic()
        self.update("")

    def update(self, text: str, done: float | None = None) -> None:
        """Show how far the phase is: always on a terminal, elsewhere from time to time."""
        if self._live is None:
            if time.monotonic() >= self._shown + QUIET:
                self._shown = time.monotonic()
                note(f" {self._phase.ljust(NAME_WIDTH)} {text}")
            return
        line = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=1.0, completed=done, width=24) if done is not None else ""
        line.add_row(f" {self._phase.ljust(NAME_WIDTH)}", bar, text)
        with suppress(OSError):  # the terminal may be gone, the work goes on
            self._live.update(line, refresh=True)

    def end(self, text: str) -> None:
        """The phase ended: its line stays, with the time where it took some."""
        spent = time.monotonic() - self._phase_began
        self._line(f" {self._phase.ljust(NAME_WIDTH)} {text}" + (f"   {span(spent)}" if spent >= _SPENT else ""))

    def note(self, text: str) -> None:
        """A note for the user."""
        self._line(text)

    def _line(self, text: str) -> None:
        if self._live is None:
            note(text)
            return
        with suppress(OSError):
            self._live.update("", refresh=True)
            self._live.console.print(text, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def reporter() -> Iterator[ProgressLines]:
    """A `ProgressLines` that fits where standard error goes."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield ProgressLines(None)
        return
    with Live(console=console, transient=True, auto_refresh=False) as live:
        yield ProgressLines(live)
