"""`labkit up`: bring a lab up and prove it."""

from __future__ import annotations

from typing import Annotated

import typer

from labkit.cli.output import say
from labkit.cli.progress import reporter
from labkit.cli.results import failures
from labkit.operate import lifecycle
from labkit.runtimes.select import SANDBOX


def command(
    lab: Annotated[str, typer.Argument(help="A lab of labkit's, a lab file, or a folder with a lab.yml.")],
    runtime: Annotated[str, typer.Option(help="Where it runs.")] = SANDBOX,
) -> None:
    """Bring a lab up, prove it, and say what to try next."""
    with reporter() as progress:
        result = lifecycle.up(lab, runtime, progress)
    name = result.lab.name
    bad = failures(result.outcomes)
    if bad:
        say(f"\n {name} is up, but {len(bad)} of {len(result.outcomes)} checks do not hold.")
        raise typer.Exit(1)
    say(f"\n {name} " + (f"is up in {progress.total:.1f} s." if result.fresh else "was up already, and holds."))
    say(next_steps(result))


def next_steps(result: lifecycle.Up) -> str:
    """What to try in this lab, with names that it has."""
    lab = result.lab
    steps = []
    if lab.virtual_machines:
        vm = lab.virtual_machines[0].name
        steps.append((f"labkit effective-routes {vm}", f"the routes Azure would show on {vm}'s NIC"))
        far = [*(site.name for site in lab.sites), *([lab.internet.name] if lab.internet else [])]
        target = far[0] if far else lab.virtual_machines[-1].name
        steps.append((f"labkit trace {vm} {target}", "a packet's way, and why"))
    if lab.nvas:
        nva = lab.nvas[-1].name
        steps.append((f"labkit shell {lab.nvas[0].name}", "inside an appliance; vtysh is there"))
        steps.append((f"labkit stop {nva}", f"power it off, watch `labkit events -f`; `labkit start {nva}` mends it"))
    steps.append((f"labkit down {lab.name}", "leaves nothing behind"))
    width = max(len(step) for step, _ in steps) + 2
    return " Try:\n" + "\n".join(f"   {step.ljust(width)}{why}" for step, why in steps)
