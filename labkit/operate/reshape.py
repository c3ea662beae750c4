"""Making a running lab that of another lab file: what is new is made, what is gone goes, all of it or nothing."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from labkit.azure.changes.outcome import servers_that_refresh
from labkit.azure.model import Azure
from labkit.errors import EnvironmentProblem, InvalidInput, LabkitError
from labkit.lab.build import plan
from labkit.lab.kept import with_addresses_of
from labkit.lab.load import Loaded, read_text
from labkit.lab.plan.difference import PlanDifference, difference, link_title
from labkit.lab.plan.model import File, Link, Node, Plan
from labkit.lab.plan.nodes import CONTROLLER
from labkit.lab.running import applied
from labkit.operate.labs import room
from labkit.operate.labs.interrupt import held
from labkit.operate.labs.lifecycle import Reporter, Silent
from labkit.operate.labs.own_files import checked, must_have_images
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import inspect
from labkit.operate.records import record as records
from labkit.operate.records.record import Record
from labkit.paths import state_home
from labkit.render.own_files import OwnFiles
from labkit.render.render import render, rendered, restore
from labkit.runtimes.image import images
from labkit.runtimes.protocol import Runtime
from labkit.runtimes.select import SANDBOX, runtime


@dataclass(frozen=True, slots=True)
class ReshapeStep:
    """A node or a link of a reshaping: what it is, what happens to it, and why."""

    kind: str
    name: str
    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reshaping:
    """What makes a running lab, whose Azure is `before`, that of a lab file, which is `edited`."""

    record: Record
    before: Azure
    edited: Loaded
    plan: Plan
    own: OwnFiles
    difference: PlanDifference

    @property
    def steps(self) -> tuple[ReshapeStep, ...]:
        """Every node and link that is made, goes, or is touched, with its reason."""
        return tuple(self._steps())

    def _steps(self) -> Iterator[ReshapeStep]:
        found = self.difference
        new, old = ({node.name for node in nodes} for nodes in (found.made, found.gone))
        for node in found.made:
            yield ReshapeStep(node.role, node.name, "made", "the file declares it")
        for link in found.linked:
            yield ReshapeStep("link", link_title(link), "made", _because(link, new, "comes with", "the file has it"))
        for restart in found.restarted:
            yield ReshapeStep(restart.node.role, restart.node.name, "restarted", restart.reason)
        for name, file in found.loaded:
            yield ReshapeStep("node", name, f"loads {Path(file.path).name}", "it changes")
        yield ReshapeStep("controller", CONTROLLER, "restarted", "it reads the lab file; sessions and routes stay")
        for link in found.unlinked:
            reason = _because(link, old, "goes with", "the file has it no more")
            yield ReshapeStep("link", link_title(link), "removed", reason)
        for node in found.gone:
            yield ReshapeStep(node.role, node.name, "removed", "the file declares it no more")


def _because(link: Link, nodes: Collection[str], verb: str, otherwise: str) -> str:
    """Why a link is made or goes: by those of its ends that are among `nodes`."""
    ends = [end.node for end in (link.a, link.b) if end.node in nodes]
    return f"{verb} {' and '.join(ends)}" if ends else otherwise


def planned(record: Record, text: str, name: str, variant: str | None = None) -> Reshaping:
    """What makes a running lab that of the lab file `text`, called `name`; a `variant` of None is the one that runs.

    Raises:
        LabFileError: the text has mistakes.
        LabkitError: the lab can't become that one; with the remedy. Nothing was changed.
    """
    variant = record.variant if variant is None else variant
    if record.runtime != SANDBOX:
        raise _not_here(record, f"the {record.runtime} runtime can't add nodes to a lab that runs")
    if not record.lab_file:
        raise InvalidInput(f"lab {record.lab} is another user's.", "Run the command as the user who started it.")
    former = read_text(record.source.read_text(encoding="utf-8"), f"lab {record.lab}", record.variant)
    edited = read_text(with_addresses_of(former.lab, text, name, variant), name, variant)
    if edited.lab.name != record.lab:
        raise InvalidInput(
            f"the file is of lab {edited.lab.name}, and this is lab {record.lab}; nothing was changed.",
            f"Start it by itself: labkit up {name}",
        )
    must_have_images(edited, record.runtime)
    before, after = plan(former.lab), plan(edited.lab)
    own = checked(edited, after, images.installed(record.image))
    found = difference(before, after, [file.path for file in after.files if file.own and _is_edited(record, file, own)])
    _must_be_on(record, before, found)
    _must_fit(record, after, found)
    now = applied(former.lab, former.lab.azure, LabClient(record).changes())
    return Reshaping(record, now, edited, after, own, found)


def _is_edited(record: Record, file: File, own: OwnFiles) -> bool:
    there = record.folder / file.path
    return there.is_file() and there.read_text(encoding="utf-8") != own.rendered(file)


def _not_here(record: Record, why: str) -> InvalidInput:
    return InvalidInput(
        f"{why}; nothing was changed.", f"Start it from the file: labkit down {record.lab}, then labkit up"
    )


def _must_be_on(record: Record, before: Plan, found: PlanDifference) -> None:
    status = inspect(record)
    states = {node.name: node.state for node in status.nodes} if status is not None else {}
    if wrong := sorted(states.keys() ^ {node.name for node in before.nodes}):
        raise EnvironmentProblem(
            f"lab {record.lab} was left half changed, by a labkit that was killed: {', '.join(wrong)}.",
            f"Start it again: labkit down {record.lab}, then labkit up",
        )
    off = [f"{name} is {states.get(name, 'not there')}" for name in found.involved if states.get(name) != "running"]
    if off:
        raise InvalidInput(
            f"the lab can't be changed like this now: {', '.join(off)}; nothing was changed.",
            f"Start the node first, for example: labkit start {off[0].partition(' ')[0]}",
        )


def _must_fit(record: Record, after: Plan, found: PlanDifference) -> None:
    room.must_fit_on_disk(state_home(), len(found.made))
    if found.made:
        wanted = room.need(replace(after, nodes=found.made), record.runtime)
        room.must_fit(record.lab, wanted, room.left_for(record.runtime))


def reshape(
    record: Record,
    text: str,
    name: str,
    reporter: Reporter | None = None,
    *,
    variant: str | None = None,
    lab_file: Path | None = None,
) -> Reshaping:
    """Make a running lab that of the lab file `text`, called `name` in messages, all of it or nothing.

    What did not change keeps running, and so do its sessions and flows. The lab's record, its rendered folder and its
    controller have the new file afterwards, and what operators had changed is as that file has it. `lab_file` is the
    path of the file if it is one. Returns what was done; the lab may still converge.

    Raises:
        LabFileError: the text has mistakes.
        LabkitError: the lab can't become that one; with the remedy. It is as it was.
    """
    with records.lock(record.lab):
        found = planned(record, text, name, variant)
        _carry_out(found, text, reporter or Silent(), lab_file)
    return found


def _carry_out(reshaping: Reshaping, text: str, reporter: Reporter, lab_file: Path | None) -> None:
    record, edited, found = reshaping.record, reshaping.edited, reshaping.difference
    engine = runtime(record.runtime)
    before = rendered(record.folder)
    reporter.begin("reshape")
    try:
        _write(reshaping)
        reporter.update(f"{len(found.made)} nodes and {len(found.linked)} links are made")
        engine.reshape(record.topology, _restarted(found))
        _load(engine, record, found, rendered(record.folder))
        _adopt(reshaping)
    except BaseException as problem:
        with held():
            _take_back(engine, reshaping, before, problem)
        raise
    with held():
        record.source.write_text(edited.text, encoding="utf-8")
        record.given.write_text(text, encoding="utf-8")
        records.update(record, edited.lab.variant, lab_file)
    _sweep(record, found.gone)
    reporter.end(_counted(found))


def _write(reshaping: Reshaping) -> None:
    record, loaded = reshaping.record, reshaping.edited
    try:
        render(
            reshaping.plan,
            record.folder,
            image=record.image,
            lab_file=loaded.standalone().encode(),
            own=reshaping.own,
        )
    except EnvironmentProblem as problem:
        raise EnvironmentProblem(problem.message, room.ON_DISK) from problem


def _adopt(reshaping: Reshaping) -> None:
    """Have the controller, which has the new file, keep it: what operators had changed is over.

    Raises:
        LabkitError: it can't be kept, or the controller does not answer.
    """
    parts = [(step.name, step.what) for step in reshaping.steps if step.name != CONTROLLER]
    refresh = servers_that_refresh(reshaping.before, reshaping.edited.lab.azure)
    LabClient(reshaping.record).put("lab", body={"parts": parts, "refresh": refresh})


def _load(engine: Runtime, record: Record, found: PlanDifference, files: Mapping[str, bytes]) -> None:
    """Have nodes that keep running load their files.

    Raises:
        EnvironmentProblem: a node refuses one.
    """
    for name, file in found.loaded:
        done = engine.exec(record.lab, name, file.loader, input=files[file.path].decode())
        if done.rc != 0:
            text = f"node {name}: `{' '.join(file.loader)}` failed: {done.stderr.strip()}"
            raise EnvironmentProblem(text, "`labkit doctor` shows what this machine lacks.")


def _take_back(engine: Runtime, reshaping: Reshaping, before: Mapping[str, bytes], problem: BaseException) -> None:
    """Make the lab what it was. If that fails too, both problems are reported."""
    record, found = reshaping.record, reshaping.difference
    try:
        restore(record.folder, before)
        engine.reshape(record.topology, _restarted(found))
        _load(engine, record, found, before)
    except LabkitError as second:
        text = problem.message if isinstance(problem, LabkitError) else "the change was interrupted."
        text = f"{text}\nThe lab could not be made what it was: {second.message}"
        raise type(second)(text, f"Take it down: labkit down {record.lab}") from problem
    _sweep(record, found.made)


def _sweep(record: Record, nodes: Iterable[Node]) -> None:
    """Remove what is left of nodes in the rendered folder."""
    for node in nodes:
        for folder in ("run", "nodes"):
            shutil.rmtree(record.folder / folder / node.handle, ignore_errors=True)


def _restarted(found: PlanDifference) -> frozenset[str]:
    return frozenset({CONTROLLER, *(each.node.name for each in found.restarted)})


def _counted(found: PlanDifference) -> str:
    counts = ((len(found.made), "made"), (len(found.gone), "removed"), (len(found.restarted), "restarted"))
    texts = [f"{number} {'node' if number == 1 else 'nodes'} {what}" for number, what in counts if number]
    links = ((len(found.linked), "made"), (len(found.unlinked), "removed"))
    texts += [f"{number} {'link' if number == 1 else 'links'} {what}" for number, what in links if number]
    return ", ".join(texts) or "nodes and links stay"
