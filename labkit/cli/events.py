"""`labkit events`: what happened in the lab, and why."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated

import typer

from labkit.cli.output import Format, LabArgument, LabOption, one_lab, put
from labkit.feed.codec import to_json
from labkit.feed.status import LabEvent
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import running


def command(
    lab: LabArgument = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new events.")] = False,
    output: Annotated[
        Format, typer.Option("--format", "-o", help="table for people, json (one object per line) for programs.")
    ] = Format.TABLE,
    named: LabOption = None,
) -> None:
    """Print what happened in the lab, and why."""
    record, _ = running(one_lab(lab, named))
    for event in LabClient(record).events(follow=follow):
        if output is Format.JSON:
            put(json.dumps(to_json(LabEvent, event)), now=follow)
            continue
        time = datetime.fromtimestamp(event.time).astimezone().strftime("%H:%M:%S.%f")[:-3]
        cause = f"   because {event.cause}" if event.cause else ""
        put(f"{time}  {event.node:<14} {event.text}{cause}", now=follow)
