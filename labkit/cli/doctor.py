"""`labkit doctor`: what this machine has and lacks."""

from __future__ import annotations

import typer

from labkit.cli.output import Format, FormatOption, put, put_json
from labkit.errors import EnvironmentProblem
from labkit.operate.doctor import examine


def command(output: FormatOption = Format.TABLE) -> None:
    """Check what labs need of this machine. Each need is tried; for what is missing, it says what mends it."""
    probes = examine()
    if output is Format.JSON:
        put_json([{"name": p.name, "ok": p.ok, "why": p.why, "remedy": p.remedy} for p in probes])
    else:
        for probe in probes:
            put(f" {'✓' if probe.ok else '✗'} {probe.name}" + (f": {probe.why}" if probe.why else ""))
            if probe.remedy:
                put(f"     {probe.remedy}")
    if not all(probe.ok for probe in probes):
        raise typer.Exit(EnvironmentProblem.exit_code)
