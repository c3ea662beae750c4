"""`labkit trace`: the path of a packet, and why it takes it."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address
from itertools import groupby
from typing import Annotated

import typer

from labkit.cli import complete
from labkit.cli.output import Colour, Format, FormatOption, LabOption, note, paint, put, put_json
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import lab_of, running
from labkit.operate.trace.run import Trace, trace


def command(
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="The node that sends, or machine/NIC.", autocompletion=complete.nodes),
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET", help="A node, a site (its host) or an address.", autocompletion=complete.nodes
        ),
    ],
    lab: LabOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show the path of a packet, and why it takes it.

    A real traceroute is shown for comparison. Exit status 1: it differs from the path by the tables.
    """
    record, _ = running(lab)
    built = lab_of(record)
    found = trace(built, LabClient(record), source, target)
    if output is Format.JSON:
        steps = [
            {
                "place": s.place,
                "address": s.address,
                "decision": s.decision,
                "why": s.why,
                "choice": None if s.choice is None else s.choice.json(),
            }
            for s in found.steps
        ]
        real = [str(hop) if hop else None for hop in found.real]
        predicted = [str(hop) if hop else None for hop in found.predicted]
        put_json(
            {
                "steps": steps,
                "verdict": found.verdict,
                "disposition": str(found.disposition),
                "predicted": predicted,
                "real": real,
                "silent": [{"address": str(address), "why": why} for address, why in found.silent],
                "lost": [{"hops": hops, "why": why} for hops, why in found.lost],
                "nobodys": found.nobodys is not None,
                "agrees": found.agrees,
            }
        )
    else:
        _print(found)
    for router in dict.fromkeys(step.place for step in found.steps if step.place in built.own_routers):
        note(f"{router} {built.nva[router].own_router}: its kernel's routes are shown as they are.")
    if not found.agrees:
        raise typer.Exit(1)


def _print(found: Trace) -> None:
    width = max(len(step.place) for step in found.steps) + 1
    longest = max(len(step.decision) for step in found.steps)
    for step in found.steps:
        place = step.place if step.address else f" {step.place}"
        put(f"{place.ljust(width)}  {step.address:<15}  {step.decision.ljust(longest)}  {step.why}".rstrip())
        for line in step.choice.lines() if step.choice is not None else ():
            put(paint(f"{'':{width + 2}}{line}", Colour.DIM))
    real = _hops(found.real) or "no answer"
    predicted = _hops(found.predicted) or "no hop"
    put(f"\npredicted:        {predicted}  ({found.verdict})")
    for address, why in found.silent:
        put(f"no answer from:   {address}, its reply is lost at {why}")
    for _, why in found.lost:
        put(f"other flows:      lost at {why}")
    if found.nobodys is not None:
        put(f"no answer from:   {found.nobodys}, which is nobody's address in this lab")
    put(
        f"real traceroute:  {real}  "
        + (
            paint("✓", Colour.GREEN) + " agrees"
            if found.agrees
            else paint("✗ DIFFERS", Colour.RED) + " from the prediction"
        )
    )


def _hops(hops: Sequence[IPv4Address | None]) -> str:
    """Hops in order; those that repeat the one before as a number."""
    groups = [(hop, len([*same])) for hop, same in groupby(hops)]
    return ", ".join(
        (str(hop) if hop else "*") + (f" ({n} times)" if n > 1 and hop else ", *" * (n - 1)) for hop, n in groups
    )
