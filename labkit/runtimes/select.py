"""The runtimes by name."""

from __future__ import annotations

from labkit.errors import InvalidInput
from labkit.runtimes.protocol import Runtime

SANDBOX = "sandbox"
CONTAINERLAB = "containerlab"
RUNTIMES = (SANDBOX, CONTAINERLAB)


def must_be_known(name: str) -> None:
    """Check that there is a runtime of this name. Raises InvalidInput if not."""
    if name not in RUNTIMES:
        raise InvalidInput(f"unknown runtime: {name}", f"Choose one of: {', '.join(RUNTIMES)}.")


def runtime(name: str) -> Runtime:
    """The runtime of this name.

    Raises:
        InvalidInput: there is none.
    """
    must_be_known(name)
    if name == SANDBOX:
        from labkit.runtimes.sandbox.runtime import SandboxRuntime  # noqa: PLC0415 - each runtime loads its own world

        return SandboxRuntime()
    from labkit.runtimes.containerlab.runtime import ContainerlabRuntime  # noqa: PLC0415

    return ContainerlabRuntime()
