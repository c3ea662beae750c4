"""Bringing labs up and down: plan, then do; and if anything goes wrong on the way up, leave nothing behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from labkit.errors import CheckFailed, InvalidInput
from labkit.lab.load import load
from labkit.lab.model import Lab
from labkit.lab.plan import plan
from labkit.operate import record as records
from labkit.operate.client import LabClient
from labkit.operate.observe import Look
from labkit.operate.record import Record
from labkit.operate.verify import Outcome, verify
from labkit.render.render import render
from labkit.resources import topologies
from labkit.runtimes import images
from labkit.runtimes.select import runtime


class Reporter(Protocol):
    """Where the phases of an `up` are told."""

    def begin(self, phase: str) -> None:
        """A phase begins."""

    def update(self, text: str, done: float | None = None) -> None:
        """How far the phase is; `done` from 0 to 1 where that is known."""

    def end(self, text: str) -> None:
        """The phase ended well."""


@dataclass(frozen=True, slots=True)
class Up:
    """What an `up` led to. `fresh` is false if the lab ran already."""

    lab: Lab
    record: Record
    outcomes: tuple[Outcome, ...]
    fresh: bool


def find_lab_file(lab: str) -> Path:
    """The lab file that `lab` names: a file, a folder with a `lab.yml`, or a lab that comes with labkit.

    Raises:
        InvalidInput: nothing of the kind exists.
    """
    path = Path(lab)
    for candidate in (path, path / "lab.yml", topologies() / lab / "lab.yml"):
        if candidate.is_file():
            return candidate
    known = sorted(p.parent.name for p in topologies().glob("*/lab.yml"))
    raise InvalidInput(f"there is no lab file {lab}.", f"Give a file, or one of labkit's labs: {', '.join(known)}.")


def up(name: str, runtime_name: str, reporter: Reporter) -> Up:
    """Bring a lab up and check its proofs.

    The lab stays when a proof fails, so that one can look at it; when anything else goes wrong, or the user
    interrupts, nothing stays.

    Raises:
        LabkitError: whatever stands in the way, with its remedy.
    """
    lab_file = find_lab_file(name)
    lab = load(lab_file)
    the_plan = plan(lab)
    engine = runtime(runtime_name)
    with records.lock(lab.name):
        running = records.read(lab.name)
        if running is not None and engine.inspect(lab.name) is not None:
            _must_be_the_same(running, runtime_name, lab_file)
            outcomes = _prove(lab, running, reporter)
            return Up(lab, running, outcomes, fresh=False)
        if running is not None:
            runtime(running.runtime).destroy(lab.name)
            records.remove(lab.name)
        reporter.begin("prepare")
        spec = images.node_image()
        known = images.installed(spec.reference) is not None
        images.ensure(spec, lambda p: reporter.update(f"image: {p.step}", p.fraction))
        reporter.end(f"image {spec.reference} " + ("is there" if known else "built (once)"))
        record = records.create(lab.name, runtime_name, lab_file.resolve(), spec.reference)
        try:
            reporter.begin("plan")
            render(the_plan, record.folder, image=spec.reference, lab_file=lab_file.read_bytes())
            reporter.end(f"{contents(lab)} → {len(the_plan.nodes)} nodes, {len(the_plan.links)} links")
            reporter.begin("boot")
            engine.deploy(
                record.topology, lambda p: reporter.update(f"{p.done}/{p.total} nodes {p.kind}", p.done / p.total)
            )
            reporter.end(f"{len(the_plan.nodes)}/{len(the_plan.nodes)} nodes")
            outcomes = _prove(lab, record, reporter)
        except BaseException:
            engine.destroy(lab.name)
            records.remove(lab.name)
            raise
    return Up(lab, record, outcomes, fresh=True)


def down(record: Record) -> None:
    """Take a lab down and forget it; works from its record alone, and when half of it is gone."""
    with records.lock(record.lab):
        runtime(record.runtime).destroy(record.lab)
        records.remove(record.lab)


def contents(lab: Lab) -> str:
    """What a lab consists of, counted in words."""
    counts = (
        (len(lab.azure.virtual_networks), "virtual network"),
        (len(lab.azure.route_servers), "route server"),
        (len(lab.nvas), "NVA"),
        (len(lab.sites), "branch", "branches"),
        (1 if lab.internet else 0, "Internet"),
        (len(lab.virtual_machines), "VM"),
    )
    return ", ".join(
        f"{n} {names[0] if n == 1 else names[-1] + ('' if len(names) > 1 else 's')}" for n, *names in counts if n
    )


def _prove(lab: Lab, record: Record, reporter: Reporter) -> tuple[Outcome, ...]:
    reporter.begin("converge")
    converging = True

    def on_look(look: Look, held: int, total: int, rows_hold: bool) -> None:
        nonlocal converging
        if converging:
            reporter.update(_convergence(look), held / total)
        if converging and rows_hold:
            converging = False
            reporter.end(_convergence(look))
            reporter.begin("verify")
        if not converging:
            reporter.update(f"{held}/{total} proofs", held / total)

    outcomes = tuple(verify(lab, LabClient(record), on_look=on_look))
    if all(o.ok for o in outcomes):
        reporter.end(f"{len(outcomes)} proofs ✓")
    return outcomes


def _convergence(look: Look) -> str:
    try:
        status = look.state["status"]
    except CheckFailed:
        return "the controller is starting"
    sessions = status["sessions"]
    agents = [n for n in status["nodes"].values() if n["role"] == "agent"]
    up_ = sum(s["state"] == "Established" for s in sessions)
    done = sum(n["connected"] and 0 < n["sent_seq"] == n["applied_seq"] for n in agents)
    return f"{up_}/{len(sessions)} BGP sessions · {done}/{len(agents)} VMs programmed"


def _must_be_the_same(running: Record, runtime_name: str, lab_file: Path) -> None:
    remedy = f"Take it down first: labkit down {running.lab}"
    if running.runtime != runtime_name:
        raise InvalidInput(f"lab {running.lab} runs already, on the {running.runtime} runtime.", remedy)
    if (running.folder / "lab.yml").read_bytes() != lab_file.read_bytes():
        raise InvalidInput(f"another lab called {running.lab} runs already (from {running.lab_file}).", remedy)


def lab_name(lab: str) -> str:
    """The name of the lab that `lab` means: a running lab's own name, or the name in a lab file.

    Raises:
        LabkitError: it is neither.
    """
    if records.read(lab) is not None:
        return lab
    return load(find_lab_file(lab)).name
