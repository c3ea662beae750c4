"""`labkit validate`: whether a lab file is valid."""

from __future__ import annotations

from typing import TypedDict

from labkit.cli.output import Format, FormatOption, LabFileArgument, VariantOption, note, put, put_json
from labkit.lab.build import plan
from labkit.lab.file.problems import FileProblem, LabFileError
from labkit.lab.load import Loaded, read, read_all
from labkit.operate.labs.lifecycle import contents
from labkit.operate.labs.own_files import checked
from labkit.operate.records.lab_files import find_lab_file
from labkit.predict.sessions import session_warnings
from labkit.runtimes.image.images import installed, node_image


def command(lab: LabFileArgument, variant: VariantOption = "", output: FormatOption = Format.TABLE) -> None:
    """Check a lab file and all its variants, and show all mistakes at once.

    Each mistake is shown with its line and its remedy. With --variant, the base and that variant alone are checked.
    """
    file = find_lab_file(lab)
    try:
        labs = [read(file, variant)] if variant else read_all(file)
        for each in (loaded for loaded in labs if loaded.lab.own_routers):
            checked(each, plan(each.lab), installed(node_image().reference))
    except LabFileError as error:
        if output is Format.JSON:
            put_json({"file": error.name, "lab": None, "ok": False, "problems": [_row(p) for p in error.problems]})
        raise
    first = labs[0]
    warnings = [*first.warnings, *dict.fromkeys(warning for each in labs for warning in session_warnings(each.lab))]
    if output is Format.JSON:
        problems = [_row(warning) for warning in warnings]
        put_json(
            {
                "file": first.name,
                "lab": first.lab.name,
                "ok": True,
                "problems": problems,
                "variants": [_variant(each) for each in labs if each.lab.variant],
            }
        )
        return
    for warning in warnings:
        note(warning.show(first.name))
    for each in labs:
        which = f", variant {each.lab.variant}," if each.lab.variant else ""
        put(f"{each.name}{which} is valid: {contents(each.lab)}, {len(each.lab.proofs)} proofs.")
        if each.description:
            put(f"    {each.description}")


class VariantRow(TypedDict):
    """A variant in JSON."""

    name: str
    description: str


class ProblemRow(TypedDict):
    """A mistake or a warning in JSON; `line` is 0 for one of the whole file, `column` where only the line is known."""

    line: int
    column: int
    severity: str
    text: str
    remedy: str


def _variant(loaded: Loaded) -> VariantRow:
    return {"name": loaded.lab.variant, "description": loaded.description}


def _row(problem: FileProblem) -> ProblemRow:
    return {
        "line": problem.line,
        "column": problem.column,
        "severity": problem.severity,
        "text": problem.text,
        "remedy": problem.remedy,
    }
