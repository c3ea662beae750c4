"""Files of a lab that this user's own rights do not suffice for, by way of the engine, which has root's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from docker.types import Mount

from labkit.errors import EnvironmentProblem
from labkit.runtimes.containerlab.docker_engine import engine, translated

_HERE = "/lab"


def give_back(image: str, folder: Path) -> None:
    """Make everything in a lab's folder its owner's again: the lab's containers wrote there as root.

    The folder is an ordinary user's who may use Docker, and not always the one's who takes the lab down.
    """
    try:
        if folder.stat().st_uid == 0:
            return
    except FileNotFoundError:
        return
    except PermissionError:
        pass  # the engine may look into it
    _run(image, folder, ["chown", "--recursive", "--no-dereference", f"--reference={_HERE}", _HERE])


def read(image: str, file: Path) -> bytes:
    """A file's content, whoever's it is; `image` is any that has `cat`.

    Raises:
        EnvironmentProblem: the engine can't read it either.
    """
    try:
        return file.read_bytes()
    except PermissionError:
        return _run(image, file.parent, ["cat", f"{_HERE}/{file.name}"])


def _run(image: str, folder: Path, command: Sequence[str]) -> bytes:
    """The output of a command that sees the folder, in its own container."""
    client = engine()
    with translated():
        settings = client.create_host_config(mounts=[Mount(_HERE, str(folder), "bind")], network_mode="none")
        made = client.create_container(image, entrypoint=list(command), host_config=settings)["Id"]
        try:
            client.start(made)
            status = client.wait(made)["StatusCode"]
            output: bytes = client.logs(made, stdout=status == 0, stderr=status != 0)
        finally:
            client.remove_container(made, force=True)
    if status != 0:
        raise EnvironmentProblem(
            f"{folder} can't be used through Docker: {output.decode(errors='replace').strip()}", "Run labkit as root."
        )
    return output
