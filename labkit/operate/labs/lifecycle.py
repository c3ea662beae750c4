"""Starting labs and taking them down: plan first, then act; if an `up` fails, nothing of it is left."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from labkit.errors import CheckFailed, EnvironmentProblem, InvalidInput, LabkitError
from labkit.lab.build import plan
from labkit.lab.load import Loaded, file_text, read
from labkit.lab.model import Lab
from labkit.lab.plan.model import Plan
from labkit.operate.diff.tables import table_checks
from labkit.operate.labs import room
from labkit.operate.labs.interrupt import held
from labkit.operate.labs.own_files import checked, must_be_as_started, must_have_images
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import controllers_text, damaged, inspect
from labkit.operate.records import record as records
from labkit.operate.records.lab_files import find_lab_file
from labkit.operate.records.record import Record
from labkit.operate.verify.run import Attempt, Check, Outcome, verify
from labkit.paths import state_home
from labkit.predict.sessions import session_warnings
from labkit.render.own_files import OwnFiles, read_own_files
from labkit.render.render import render
from labkit.runtimes.image import images
from labkit.runtimes.protocol import Runtime
from labkit.runtimes.select import RUNTIMES, SANDBOX, runtime

_SETTLES_WITHIN = 30.0
_PAUSE = 0.02
_NAMED = 3
"""How many of the checks that are waited for are named."""


class Reporter(Protocol):
    """Where the phases of an `up` are reported."""

    def begin(self, phase: str) -> None:
        """A phase begins."""

    def update(self, text: str, done: float | None = None) -> None:
        """How far the phase is; `done` from 0 to 1 where that is known."""

    def end(self, text: str) -> None:
        """The phase ended."""

    def note(self, text: str) -> None:
        """A note for the user, such as a warning about the lab file."""


class Silent:
    """A reporter that shows nothing."""

    def begin(self, phase: str) -> None:
        """A phase begins."""

    def update(self, text: str, done: float | None = None) -> None:
        """The phase is under way."""

    def end(self, text: str) -> None:
        """The phase ended well."""

    def note(self, text: str) -> None:
        """A note for the user."""


@dataclass(frozen=True, slots=True)
class Up:
    """The result of an `up`. `fresh` is false if the lab ran already."""

    lab: Lab
    record: Record
    outcomes: tuple[Outcome, ...]
    fresh: bool


def up(name: str, engine: Runtime, reporter: Reporter, variant: str = "", *, force: bool = False) -> Up:
    """Start a lab in one of its variants ("": the base), and run its proofs.

    If a proof fails, the lab stays for inspection; if anything else fails, or the user interrupts, nothing stays. For a
    lab that runs already, from the same file in the same variant, only the proofs are run. With `force`, the lab is
    started even if it seems not to fit on the machine.

    Raises:
        LabkitError: the lab can't be started; with the remedy.
    """
    lab_file = find_lab_file(name)
    loaded = read(lab_file, variant)
    for warning in (*loaded.warnings, *session_warnings(loaded.lab)):
        reporter.note(warning.show(loaded.name))
    must_have_images(loaded, engine.name)
    lab, spec = loaded.lab, images.node_image()
    the_plan = plan(lab)
    own = read_own_files(loaded, the_plan)
    for text in loaded.lab.own_routers.values():
        reporter.note(text)
    with records.lock(lab.name):
        former = records.read(lab.name)
        if former is not None and not former.runtime:
            raise damaged(former)
        if former is not None and _alive(former):
            _must_be_the_same(former, engine.name, lab_file, variant)
            must_be_as_started(former, the_plan, own)
            if former.image != spec.reference:
                reporter.note(
                    f"{lab.name} runs {former.image}, this labkit's image is {spec.reference}.\n"
                    f"    To use that one: labkit down {lab.name}, then labkit up"
                )
            return Up(lab, former, prove(lab, former, reporter), fresh=False)
        if former is not None:
            with held():
                _clear(former)
            reporter.note(f"{lab.name} was dead and has been removed.")
        elif (stranger := engine.inspect(lab.name)) is not None and stranger.state != "dead":
            raise InvalidInput(
                f"a lab called {lab.name} runs on {engine.name} already, started by another user or program.",
                f"Rename this lab, or take the other one down: labkit down {lab.name}",
            )
        room.must_fit_on_disk(state_home(), len(the_plan.nodes))
        if not force:
            room.must_fit(lab.name, room.need(the_plan, engine.name), room.left_for(engine.name))
        killed = room.killed_for_memory()
        own = checked(loaded, the_plan, _prepare(spec, reporter))
        try:
            with held():
                record = records.create(lab.name, engine.name, lab_file.resolve(), spec.reference, variant)
            reporter.begin("plan")
            _write(the_plan, record, loaded, own)
            reporter.end(f"{contents(lab)} → {len(the_plan.nodes)} nodes, {len(the_plan.links)} links")
            outcomes = _boot_and_prove(lab, the_plan, record, engine, reporter)
        except BaseException as problem:
            with held():
                reason = room.reason(state_home(), killed)  # before what is undone makes room
                _undo(lab.name, reporter, problem)
            if isinstance(problem, LabkitError) and reason:
                # The rest is what a node's log has, which the reason explains.
                what = problem.message.partition("\n")[0]
                raise EnvironmentProblem(f"{reason.message}\n{what}", reason.remedy) from problem
            raise
    return Up(lab, record, outcomes, fresh=True)


def down(record: Record) -> None:
    """Take a lab down and remove its record; needs nothing but the record, even if half of the lab is gone."""
    with records.lock(record.lab), held():
        _clear(record)


def _alive(record: Record) -> bool:
    """Whether the lab's nodes run. If another labkit was killed while it booted them, they may need a moment to end."""
    deadline = time.monotonic() + _SETTLES_WITHIN
    while (found := inspect(record)) is not None and found.state == "deploying" and time.monotonic() < deadline:
        time.sleep(_PAUSE)  # whichever runtime has it: what ends there is not this process's to wait for
    return found is not None and found.state != "dead" and bool(found.nodes)


def _clear(record: Record) -> None:
    for name in [record.runtime] if record.runtime else RUNTIMES:
        try:
            runtime(name).destroy(record.lab)
        except EnvironmentProblem:
            # If the record has no runtime, the lab is not on a runtime that this machine can't use.
            if record.runtime or name == SANDBOX:
                raise
    records.remove(record.lab)


def _undo(lab: str, reporter: Reporter, problem: BaseException) -> None:
    """Remove everything that a failed `up` has made. If that fails too, both problems are reported."""
    reporter.begin("undo")
    record = records.read(lab)
    if record is not None:
        try:
            _clear(record)
        except LabkitError as second:
            if isinstance(problem, LabkitError) and problem.message not in second.message:
                raise type(second)(f"{problem.message}\n{second.message}", second.remedy) from problem
            raise
    reporter.end(f"everything of {lab} is removed")


def _prepare(spec: images.ImageSpec, reporter: Reporter) -> images.Image:
    reporter.begin("prepare")
    known = images.installed(spec.reference) is not None
    image = images.ensure(spec, lambda p: reporter.update(f"image: {p.step}", p.fraction))
    reporter.end(f"image {spec.reference} " + ("is present" if known else "built (once)"))
    return image


def _write(the_plan: Plan, record: Record, loaded: Loaded, own: OwnFiles) -> None:
    try:
        record.source.write_text(loaded.text, encoding="utf-8")
        render(the_plan, record.folder, image=record.image, lab_file=loaded.standalone().encode(), own=own)
    except EnvironmentProblem as problem:
        raise EnvironmentProblem(problem.message, room.ON_DISK) from problem
    except OSError as error:
        raise EnvironmentProblem(
            f"{error.filename or record.source}: {error.strerror or error}.", room.ON_DISK
        ) from error


def _boot_and_prove(
    lab: Lab, the_plan: Plan, record: Record, engine: Runtime, reporter: Reporter
) -> tuple[Outcome, ...]:
    reporter.begin("boot")
    engine.deploy(record.topology, lambda p: reporter.update(f"{p.done}/{p.total} nodes {p.kind}", p.done / p.total))
    reporter.end(f"{len(the_plan.nodes)}/{len(the_plan.nodes)} nodes")
    return prove(lab, record, reporter, table_checks(lab))


def contents(lab: Lab) -> str:
    """What a lab consists of, for people: "2 virtual networks, 1 route server"."""
    counts = (
        (len(lab.azure.virtual_networks), "virtual network"),
        (len(lab.azure.route_servers), "route server"),
        (len(lab.azure.gateways), "gateway"),
        (len(lab.azure.circuits), "circuit"),
        (len(lab.nvas), "NVA"),
        (len(lab.azure.load_balancers) - len(lab.azure.firewalls), "load balancer"),
        (len(lab.azure.firewalls), "firewall"),
        (len(lab.sites), "branch", "branches"),
        (1 if lab.internet else 0, "Internet"),
        (len(lab.virtual_machines), "VM"),
    )
    return ", ".join(
        f"{n} {names[0] if n == 1 else names[-1] + ('' if len(names) > 1 else 's')}" for n, *names in counts if n
    )


def prove(lab: Lab, record: Record, reporter: Reporter, tables: Iterable[Check] = ()) -> tuple[Outcome, ...]:
    """Wait until a lab has converged, then run its proofs and compare `tables` with the rules."""
    reporter.begin("converge")
    converging = True

    def on_attempt(attempt: Attempt) -> None:
        nonlocal converging
        if converging:
            text = _convergence(attempt) + (f" · waiting for: {_first(attempt.waiting)}" if attempt.waiting else "")
            reporter.update(text, attempt.held / len(attempt.outcomes))
        if converging and attempt.converged:
            converging = False
            reporter.end(_convergence(attempt))
            reporter.begin("verify")
        if not converging:
            total = len(attempt.outcomes)
            reporter.update(f"{attempt.held}/{total} proofs", attempt.held / total)

    outcomes = tuple(verify(lab, LabClient(record), tables=tables, on_attempt=on_attempt))
    if all(o.ok for o in outcomes):
        reporter.end(f"{len(outcomes)} proofs ✓")
    return outcomes


def _first(checks: Sequence[Outcome]) -> str:
    """The first checks of some, why the first of all does not hold, and how many more there are."""
    titles = [check.title for check in checks]
    titles[0] += f" ({checks[0].problem.partition('; ')[0].partition('. Look')[0]})"
    more = f" and {len(titles) - _NAMED} more" if len(titles) > _NAMED else ""
    return ", ".join(titles[:_NAMED]) + more


def _convergence(attempt: Attempt) -> str:
    """How many of the expected sessions are up, and machines programmed."""
    sessions = f"{sum(session.ok for session in attempt.sessions)}/{len(attempt.sessions)} BGP sessions"
    try:
        nodes = attempt.live.state.status.nodes.values()
    except CheckFailed:
        return f"{sessions} · the controller does not answer"
    agents = [node for node in nodes if node.role == "agent"]
    return f"{sessions} · {sum(agent.up_to_date for agent in agents)}/{len(agents)} VMs programmed"


def _must_be_the_same(former: Record, runtime_name: str, lab_file: Path, variant: str) -> None:
    if former.runtime != runtime_name:
        raise InvalidInput(
            f"lab {former.lab} runs already, on the {former.runtime} runtime.",
            f"Take it down first: labkit down {former.lab}",
        )
    must_be_its_file(former, lab_file)
    if former.variant != variant:
        runs = f"in variant {former.variant}" if former.variant else "without a variant"
        raise InvalidInput(f"lab {former.lab} runs already, {runs}.", f"Take it down first: labkit down {former.lab}")


def must_be_its_file(record: Record, lab_file: Path) -> None:
    """Check that a lab was started from a lab file, in any variant.

    Raises:
        InvalidInput: it was started from another.
    """
    if record.lab_file:
        texts = [file.read_text(encoding="utf-8") for file in (record.source, record.given) if file.exists()]
        same = file_text(lab_file) in texts
    else:
        same = controllers_text(record) == read(lab_file, record.variant).standalone()
    if same:
        return
    if record.lab_file == str(lab_file.resolve()):
        what = f"lab {record.lab} runs already, and {lab_file} has changed since it started."
    else:
        what = f"another lab called {record.lab} runs already, from {record.lab_file or 'another user'}."
    raise InvalidInput(what, f"Take it down first: labkit down {record.lab}")
