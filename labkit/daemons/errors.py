"""What goes wrong between labkit and a running daemon."""

from __future__ import annotations


class NoAnswer(Exception):
    """A daemon does not listen, does not answer, or refuses a command."""
