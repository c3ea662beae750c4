"""The labs of captures boot as those of the end-to-end tests do."""

from __future__ import annotations

from tests.e2e.conftest import labkit_lab, labkit_runtime, pytest_runtest_teardown

__all__ = ["labkit_lab", "labkit_runtime", "pytest_runtest_teardown"]
