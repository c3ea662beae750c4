"""`labkit validate`: is a lab file right?"""

from __future__ import annotations

from labkit.cli.output import Format, FormatOption, LabFileArgument, put, put_json, say
from labkit.lab.load import read
from labkit.lab.problems import LabFileError, Problem
from labkit.operate.lifecycle import contents, find_lab_file


def command(lab: LabFileArgument, output: FormatOption = Format.TABLE) -> None:
    """Check a lab file, and show all mistakes at once. Each has its line and its remedy."""
    file = find_lab_file(lab)
    try:
        loaded = read(file)
    except LabFileError as error:
        if output is Format.JSON:
            put_json({"file": error.name, "lab": None, "ok": False, "problems": [_row(p) for p in error.problems]})
        raise
    if output is Format.JSON:
        problems = [_row(warning) for warning in loaded.warnings]
        put_json({"file": loaded.name, "lab": loaded.lab.name, "ok": True, "problems": problems})
        return
    for warning in loaded.warnings:
        say(warning.show(loaded.name))
    put(f"{loaded.name} is right: {contents(loaded.lab)}, {len(loaded.lab.proofs)} proofs.")


def _row(problem: Problem) -> dict[str, object]:
    return {"line": problem.line, "severity": problem.severity, "text": problem.text, "remedy": problem.remedy}
