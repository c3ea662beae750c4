"""The labs of captures boot as those of the end-to-end tests do, on both runtimes."""

from __future__ import annotations

from tests.e2e.conftest import labkit_lab, labkit_runtime

__all__ = ["labkit_lab", "labkit_runtime"]
