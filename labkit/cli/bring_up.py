"""What `labkit up` does and prints."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import typer

from labkit.azure.rules.adjacency import server_in
from labkit.cli.output import note, put, put_table, span
from labkit.cli.progress import reporter
from labkit.cli.results import failures
from labkit.lab.build import plan
from labkit.lab.load import read
from labkit.operate.labs import lifecycle
from labkit.operate.labs.interrupt import settled
from labkit.operate.records.lab_files import find_lab_file
from labkit.patience import show_waits
from labkit.predict.sessions import expected_sessions
from labkit.runtimes.protocol import Runtime


def bring_up(lab: str, engine: Runtime, variant: str, *, force: bool) -> None:
    """Start the lab and run its proofs.

    Raises:
        LabkitError: it can't be started.
        typer.Exit: with status 1: a proof does not hold.
    """
    with reporter() as progress:
        show_waits(lambda text: progress.note(f" {text}"))
        result = lifecycle.up(lab, engine, progress, variant, force=force)
    settled()  # the lab is there now: a late Ctrl-C must not look as if it were not
    name = result.record.title
    bad = failures(result.outcomes)
    if bad:
        note(f"\n {name} is up, but {len(bad)} of {len(result.outcomes)} checks failed.  See: labkit status")
        raise typer.Exit(1)
    state = f"is up in {span(progress.total)}." if result.fresh else "was already up; all checks passed."
    note(f"\n {name} {state}")
    note(next_steps(result))


def print_plan(lab: str, variant: str) -> None:
    """Print what an `up` would start: nodes with their roles and services, and links."""
    loaded = read(find_lab_file(lab), variant)
    for warning in loaded.warnings:
        note(warning.show(loaded.name))
    the_plan = plan(loaded.lab)
    addresses: dict[str, list[str]] = {}
    for address, node in the_plan.owners.items():
        addresses.setdefault(node, []).append(address)
    put_table(
        ("Node", "Role", "Services", "Addresses"),
        [
            (n.name, n.role, " ".join(n.services) or "-", " ".join(addresses.get(n.name, [])) or "-")
            for n in the_plan.nodes
        ],
    )
    put("")
    put_table(
        ("Link from", "to"),
        [(f"{each.a.node}:{each.a.interface}", f"{each.b.node}:{each.b.interface}") for each in the_plan.links],
    )


def next_steps(result: lifecycle.Up) -> str:
    """What to try in this lab, with names that it has."""
    lab = result.lab
    steps = []
    if lab.virtual_machines:
        vm = lab.virtual_machines[0].name
        steps.append((f"labkit effective-routes {vm}", f"the effective routes of {vm}'s NIC, as Azure shows them"))
        far = [*(site.name for site in lab.sites), *([lab.internet.name] if lab.internet else [])]
        near = [*(other.name for other in lab.virtual_machines[1:]), *(nva.name for nva in lab.nvas)]
        steps += [(f"labkit trace {vm} {target}", "the path of a packet, and why") for target in (far + near)[:1]]
    if lab.gateways:
        gateway = lab.azure.gateway[lab.gateways[0].name]
        steps.append((f"labkit gateway learned-routes {gateway.name}", "the routes of a gateway, and their sources"))
        server = server_in(lab.azure, gateway.virtual_network)
        if server is not None:
            other, then = ("off", "no longer") if server.branch_to_branch else ("on", "then")
            step = f"labkit route-server update {server.name} --branch-to-branch {other}"
            steps.append((step, f"branches {then} receive each other's routes"))
    with_session = {end.node for session in expected_sessions(lab, lab.azure) for end in session.ends}
    peers = [nva for nva in lab.nvas if nva.name in with_session]
    if peers:
        nva, hold = peers[-1].name, peers[-1].timers.hold
        steps.append((f"labkit shell {peers[0].name} --bgp", "the shell of an appliance's BGP daemon"))
        steps.append((f"labkit stop {nva}", f"no NOTIFICATION: its routes stay for the hold time, {hold} s"))
        steps.append((f"labkit start {nva}", "power it on again"))
    steps.append(("labkit events", "what happened, and why; -f keeps printing"))
    steps.append((f"labkit down {lab.name}", "stop the lab and remove everything of it"))
    guide = Path(result.record.lab_file).with_name("README.md")
    if guide.is_file():
        steps.append((str(guide), "the guided tour"))
    width = max(len(step) for step, _ in steps) + 2
    return f" Try{_where()}:\n" + "\n".join(f"   {step.ljust(width)}{why}" for step, why in steps)


def _where() -> str:
    """How to run `labkit` if it is in an environment that is not activated."""
    activate = Path(sys.argv[0]).with_name("activate")
    if shutil.which("labkit") is not None or not activate.is_file():
        return ""
    return f" (after `. {os.path.relpath(activate)}`)"
