"""`labkit doctor`: what this machine has and lacks."""

from __future__ import annotations

import typer

from labkit.cli.output import Format, FormatOption, put, put_json
from labkit.errors import EnvironmentProblem
from labkit.operate.labs.doctor import examine


def command(output: FormatOption = Format.TABLE) -> None:
    """Check whether this machine can run labs.

    Each requirement is tried; for what is missing, the remedy is shown. Exit status 3: no runtime is usable.
    """
    found = examine()
    usable = [runtime for runtime, probes in found.items() if all(probe.ok for probe in probes)]
    if output is Format.JSON:
        put_json(
            [
                {"runtime": runtime, "name": p.name, "ok": p.ok, "why": p.why, "remedy": p.remedy}
                for runtime, probes in found.items()
                for p in probes
            ]
        )
    else:
        for runtime, probes in found.items():
            put(f" {runtime}")
            for probe in probes:
                put(f"   {'✓' if probe.ok else '✗'} {probe.name}" + (f": {probe.why}" if probe.why else ""))
                if probe.remedy:
                    put(f"       {probe.remedy}")
        put(f" usable runtimes: {', '.join(usable) or 'none'}")
    if not usable:
        raise typer.Exit(EnvironmentProblem.exit_code)
