"""`labkit validate`: is a lab file right?"""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli.output import Format, FormatOption, put, put_json, say
from labkit.lab.load import read
from labkit.operate.lifecycle import contents, find_lab_file


def command(
    lab: Annotated[str, typer.Argument(help="A lab of labkit's, a lab file, or a folder with a lab.yml.")],
    output: FormatOption = Format.TABLE,
) -> None:
    """Check a lab file: every mistake at once, each with its line and its remedy."""
    loaded = read(find_lab_file(lab))
    for warning in loaded.warnings:
        say(warning.show(loaded.name))
    if output is Format.JSON:
        put_json({"lab": loaded.lab.name, "ok": True, "warnings": [w.show(loaded.name) for w in loaded.warnings]})
    else:
        put(f"{loaded.name} is right: {contents(loaded.lab)}, {len(loaded.lab.proofs)} proofs.")
