"""The user's own files: configurations with labkit's addresses in them as variables, and folders for binds."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.sandbox import SandboxedEnvironment

from labkit.lab.file.problems import FileProblem, LabFileError
from labkit.lab.load import Loaded, file_text
from labkit.lab.plan.model import Bind, File, Plan

_NEVER = "\0"
_TEMPLATE = "<template>"
_ONLY_EXPRESSIONS = {
    "block_start_string": f"{_NEVER}1",
    "block_end_string": f"{_NEVER}2",
    "comment_start_string": f"{_NEVER}3",
    "comment_end_string": f"{_NEVER}4",
}
"""A file is used as it is but for `{{ ... }}`: the line of a daemon's error is the line of the user's file."""


@dataclass(frozen=True)
class OwnFiles:
    """The texts of the user's configuration files by their path from the lab file, which is in `folder`."""

    folder: Path = field(default_factory=Path)
    texts: Mapping[str, str] = field(default_factory=dict)

    def source(self, bind: Bind) -> str:
        """Where a bind's source is, for a topology in another folder than the lab file."""
        return str((self.folder / Path(bind.source).expanduser()).resolve()) if bind.own else bind.source

    def rendered(self, file: File) -> str:
        """A configuration file with the values of the plan's variables.

        Raises:
            LabFileError: it has a variable that there is not, or one that is not valid.
        """
        # Nothing in it becomes HTML.
        templates = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, **_ONLY_EXPRESSIONS)
        try:
            return templates.from_string(self.texts[file.own]).render(file.context)
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            line = error.lineno if isinstance(error, TemplateSyntaxError) else _line(error)
            remedy = f"The variables are: {', '.join(file.context)}."
            problem = FileProblem(line, f"{str(error).rstrip('.') or type(error).__name__}.", remedy)
            raise LabFileError(str(self.folder / file.own), [problem]) from error


NO_OWN_FILES = OwnFiles()


def _line(error: Exception) -> int:
    """The line of a template at which an error was raised; 0 if that is not known."""
    return next(
        (frame.lineno or 0 for frame in traceback.extract_tb(error.__traceback__) if frame.filename == _TEMPLATE), 0
    )


def read_own_files(loaded: Loaded, plan: Plan) -> OwnFiles:
    """The files that a plan has from next to the lab file.

    Raises:
        LabFileError: one can't be read, or is not valid.
    """
    folder = Path(loaded.name).resolve().parent
    texts: dict[str, str] = {}
    problems: list[FileProblem] = []
    for nva in loaded.lab.nvas:
        if nva.config:
            try:
                texts[nva.config] = file_text(folder / nva.config)
            except LabFileError as error:
                (problem,) = error.problems
                text = f"NVA {nva.name}: config {nva.config}: {problem.text}"
                problems.append(FileProblem(loaded.source.line(("nvas", nva.name, "config")), text, _REMEDY))
    problems += _binds(loaded, folder)
    if problems:
        raise LabFileError(loaded.name, problems)
    found = OwnFiles(folder, texts)
    for file in plan.files:
        if file.own:
            found.rendered(file)
    return found


_REMEDY = "Its path begins at the folder of the lab file."


def _binds(loaded: Loaded, folder: Path) -> Iterator[FileProblem]:
    for nva in loaded.lab.nvas:
        for bind in nva.container.binds if nva.container is not None else ():
            source = bind.partition(":")[0]
            if not (folder / Path(source).expanduser()).exists():
                line = loaded.source.line(("nvas", nva.name, "binds"))
                yield FileProblem(line, f"NVA {nva.name}: bind {bind}: there is no {source}.", _REMEDY)
