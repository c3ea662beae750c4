"""The errors that a user sees.

    LabkitError                     something that the user can fix
    ├── CheckFailed         exit 1  a check of a running lab failed, or the lab does not answer
    │   ├── CommandTimeout          a command in a node took too long (labkit.runtimes.protocol)
    │   ├── NotListening            nothing listens at a socket in a node (labkit.runtimes.protocol)
    │   ├── NotReady                a node is on, but not healthy in time (labkit.runtimes.protocol)
    │   └── BgpIsGoneError          a router's BGP daemon does not run (labkit.operate.look.live_state)
    ├── InvalidInput        exit 2  wrong usage or an invalid file; nothing was changed
    │   ├── UnknownType             a type of ARM resources that labkit does not know (labkit.arm.shape)
    │   └── LabFileError            all mistakes in a lab file (labkit.lab.file.problems)
    └── EnvironmentProblem  exit 3  this machine lacks or refuses something
        └── EngineIsSilent          a Docker engine does not answer (labkit.runtimes.containerlab.docker_engine)

Each has a message (what is wrong, and where: file and line, or the object) and a remedy (what to do, often a
command). Raise one where the facts are known; `labkit.cli.app` alone catches them all, prints both on standard error
and returns the exit status. What a caller can handle is caught by its own class. A traceback that a user sees is a bug.
"""

from __future__ import annotations


class LabkitError(Exception):
    """Something is wrong that the user can fix.

    `message` is what and where, `remedy` what to do about it. Subclasses fix the exit code.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class CheckFailed(LabkitError):
    """A check of the running lab failed, or the lab does not answer (exit code 1)."""

    exit_code = 1


class InvalidInput(LabkitError):
    """Wrong usage or an invalid file; nothing was changed (exit code 2)."""

    exit_code = 2


class EnvironmentProblem(LabkitError):
    """This machine lacks or refuses something (exit code 3)."""

    exit_code = 3
