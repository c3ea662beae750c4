"""Lab files by the words that people use for them: a path, a folder, or a lab that comes with labkit."""

from __future__ import annotations

from pathlib import Path

from labkit.errors import InvalidInput
from labkit.resources import topologies


def find_lab_file(lab: str) -> Path:
    """The lab file that `lab` names: a file, a folder with a `lab.yml`, or a lab that comes with labkit.

    Raises:
        InvalidInput: there is none.
    """
    path = Path(lab)
    for candidate in (path, path / "lab.yml", topologies() / lab / "lab.yml"):
        try:
            if candidate.is_file():
                return candidate
        except (OSError, ValueError):  # too long for a path, or with a null character in it
            break
    raise InvalidInput(f"there is no lab file {lab}.", f"Give a file, or a bundled lab: {', '.join(bundled())}.")


def bundled() -> list[str]:
    """The names of the labs that come with labkit."""
    return sorted(path.parent.name for path in topologies().glob("*/lab.yml"))


def name_in_file(lab: str) -> str | None:
    """The lab's name in the file that `lab` names, whatever else is wrong with the file; None if there is no such file.

    Raises:
        LabFileError: it can't be read, or has no name.
    """
    # Most verbs are given a name and need none of this.
    from labkit.lab.file.problems import FileProblem, LabFileError  # noqa: PLC0415
    from labkit.lab.file.yaml_source import parse  # noqa: PLC0415
    from labkit.lab.load import file_text  # noqa: PLC0415

    try:
        file = find_lab_file(lab)
    except InvalidInput:
        return None
    data = parse(file_text(file)).data
    name = data.get("name") if isinstance(data, dict) else None
    if not isinstance(name, str):
        problem = FileProblem(0, "it has no name of a lab.", "Name the lab itself: `labkit list` shows those that run.")
        raise LabFileError(str(file), [problem])
    return name
