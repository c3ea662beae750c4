"""`labkit import`: a network of Azure as a lab file."""  # noqa: N999 - a module is named as its verb is

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from labkit.arm.imported import imported
from labkit.arm.script import Shell, script
from labkit.cli.output import note, put
from labkit.errors import InvalidInput
from labkit.lab.load import read_text
from labkit.operate.resource_files import resource_files, write_new


def command(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FOLDER|FILE...",
            help="What `az … list -o json`, `az … show -o json`, `bicep snapshot` or `labkit export` wrote.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The lab file to write. Default: FOLDER.lab.yml, next to it.", show_default=False
        ),
    ] = None,
    for_shell: Annotated[
        Shell | None,
        typer.Option(
            "--script", help="Print the read-only script that collects what import takes in.", show_default=False
        ),
    ] = None,
) -> None:
    """Make a lab file of the resources of a network in Azure.

    What Azure does not know, such as what an NVA advertises, is a placeholder, marked in the file. What can't be in a
    lab is listed with its effect on routing. Keys and passwords are never read.
    """
    if for_shell is not None:
        put(script(for_shell).rstrip())
        return
    if not files:
        raise InvalidInput(
            "labkit import: no files.", "Name a folder or files; `--script bash` prints what makes some."
        )
    first = Path(files[0]).resolve()
    target = out or first.parent / f"{first.name.removesuffix('.json')}.lab.yml"
    name = re.sub(r"[^A-Za-z0-9]+", "-", target.name.partition(".")[0]).strip("-") or "imported"
    found = imported(resource_files(map(Path, files)), name, ", ".join(files))
    write_new(target, found.text)
    put(str(target))
    for remark in found.remarks:
        note(f" {remark}")
    for each in found.left_out:
        note(f" Not in it: {each.what}: {each.reason}. {each.effect}")
    for warning in read_text(found.text, str(target)).warnings:
        note(warning.show(str(target)))
    note(f" {found.resources} resources. Start the lab: labkit up {target}")
