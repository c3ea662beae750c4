"""The errors that a user sees: one class tree, each with a message, a remedy and an exit code."""

from __future__ import annotations


class LabkitError(Exception):
    """Something went wrong that its reader can mend.

    `message` says what and where, `remedy` what to do about it. Subclasses fix the exit code.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class CheckFailed(LabkitError):
    """A check of the running lab failed (exit code 1)."""

    exit_code = 1


class InvalidInput(LabkitError):
    """Bad usage or a bad file; nothing was created (exit code 2)."""

    exit_code = 2


class EnvironmentProblem(LabkitError):
    """This machine lacks or refuses something (exit code 3)."""

    exit_code = 3
