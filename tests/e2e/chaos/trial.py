"""A lab that steps befall. After each, and at every moment of it, the lab is compared with the rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

from labkit.azure.model import Azure
from labkit.errors import CheckFailed
from labkit.feed.status import PlatformStatus
from labkit.lab.load import load_text
from labkit.lab.model import Lab
from labkit.lab.running import carry_out
from labkit.operate.labs import lifecycle
from labkit.operate.look.client import LabClient
from labkit.predict.converge import ConvergedNetwork
from labkit.predict.whatif.reach import targets
from labkit.pytest import RunningLab
from labkit.runtimes.select import SANDBOX, runtime
from tests.e2e.by_the_rules import astray
from tests.e2e.chaos import steps
from tests.e2e.chaos.fib import Hop
from tests.e2e.chaos.rules import allowed, explores_paths, must_become, one_after_the_other, wrong
from tests.e2e.chaos.steps import Step
from tests.e2e.chaos.watch import Watch, watching
from tests.e2e.in_lab import problems
from tests.e2e.random_labs import wishes
from tests.e2e.waiting import SOON, eventually

MOST_OFF = 2
"""Nodes that are off at a time."""


class Trial:
    """A running lab: `built` as in its file, `azure` as changes have made it, and the nodes that are `off`.

    It has `failed` from the moment that a step begins until everything was as it must be.
    """

    def __init__(self, text: str, folder: Path) -> None:
        self._stack = ExitStack()
        file = folder / "chaos.lab.yml"
        file.write_text(text)
        self._folder = folder
        self.done: list[Step] = []
        self.failed = False
        self.built = load_text(text, str(file))
        self.azure: Azure = self.built.azure
        self.off: frozenset[str] = frozenset()
        record = lifecycle.up(str(file), runtime(SANDBOX), lifecycle.Silent(), "").record
        self._stack.callback(lifecycle.down, record)
        self.lab = RunningLab(self.built, LabClient(record))
        self._watches = {vm.name: self._watch(vm.name) for vm in self.built.virtual_machines}
        self._network = self._now(self.off)
        self._explores_paths = explores_paths(self.built)

    @property
    def now(self) -> Lab:
        """The lab with its Azure as it is now."""
        return replace(self.built, azure=self.azure)

    def close(self) -> None:
        """Take the lab down."""
        self._stack.close()

    def do(self, step: Step) -> None:
        """Take a step, wait for what must come of it, and look at what was so meanwhile."""
        self.done.append(step)
        self.failed = True
        (self._folder / "replay.sh").write_text(self.script())
        between = self._now(self.off | step.disturbs)
        step.run(self.built.name)
        self.off ^= step.turns
        if step.change is not None:
            self.azure = carry_out(self.built, self.azure, [step.change]).azure
        if step.resets:
            self.azure = self.built.azure
        for machine in step.turns & self._watches.keys():
            del self._watches[machine]  # its kernel is gone
        eventually(self._wrong, lambda found: found == [], what=self.script())
        before, self._network = self._network, self._now(self.off)
        found = list(self._astray((before, between, self._network), step.disturbs))
        if step.resets or (self._explores_paths and (step.disturbs or step.change)):
            found = []  # there are more states in between than these
        assert found == [], "\n".join(("while the last step took effect:", *found, self.script()))
        for machine in (step.turns - self.off) & {vm.name for vm in self.built.virtual_machines}:
            self._watches[machine] = self._watch(machine)
        self.failed = False

    def choices(self) -> dict[str, list[Step]]:
        """What may befall it next, by kind; a fault not twice: what dies again and again waits longer each time."""
        off = sorted(steps.may_be_off(self.built) - self.off) if len(self.off) < MOST_OFF else []
        found = {
            "fault": [s for s in steps.faults(self.built) if s.node not in self.off and s not in self.done],
            "change": [steps.changed(wish.change) for wish in wishes(self.built, self.now)],
            "power off": list(map(steps.power_off, off)),
            "power on": list(map(steps.power_on, sorted(self.off))),
        }
        return {kind: each for kind, each in found.items() if each}

    def finish(self) -> None:
        """Power everything on and undo all changes: all holds then, proofs, kernels, fabrics, and where packets go."""
        for node in sorted(self.off):
            self.do(steps.power_on(node))
        self.do(steps.RESET)
        assert problems(self.lab, SOON) == [], self.script()
        assert astray(self.built, self.lab.client) == [], self.script()

    def script(self) -> str:
        """What a shell does the same with; the lab's file lies beside it."""
        lines = (f"labkit up chaos.lab.yml\nexport LABKIT_LAB={self.built.name}", *map(str, self.done), "labkit verify")
        return "\n".join(("#!/bin/sh", "set -e", 'cd "$(dirname "$0")"', *lines, ""))

    def _watch(self, machine: str) -> Watch:
        return self._stack.enter_context(watching(self.lab, machine))

    def _now(self, off: frozenset[str]) -> ConvergedNetwork:
        return must_become(self.built, self.azure, off, self.lab.client)

    def _wrong(self) -> list[str]:
        try:
            feeds = self.lab.client.fetch(PlatformStatus, "status").nodes
            programmed = [*self.built.azure.virtual_network, *(vm.name for vm in self.built.virtual_machines)]
            behind = [node for node in programmed if node not in self.off and not feeds[node].up_to_date]
            return [f"{node} is not programmed" for node in behind] or wrong(
                self.built, self.azure, self.off, self.lab.client
            )
        except CheckFailed as error:  # what was killed does not answer yet
            return [error.message]

    def _astray(self, networks: tuple[ConvergedNetwork, ...], disturbed: frozenset[str]) -> Iterator[str]:
        """Next hops that a machine's kernel had at some moment, and that no state of the lab meanwhile gives it."""
        between: list[ConvergedNetwork] | None = None
        for machine, watch in self._watches.items():
            nic = self.built.azure.primary_nic(machine).name
            rows = {row.prefix for network in networks for row in network.speakers.effective_routes[nic]}
            addresses = {*targets(self.built).values(), *(prefix[0] for prefix in rows)}
            for address, hops in watch.since(addresses).items():
                odd = hops - self._allowed(networks, machine, address)
                if odd and between is None:
                    off, client = self.off - disturbed, self.lab.client
                    between = [*one_after_the_other(self.built, self.azure, off, disturbed, client)]
                if odd and (odd := odd - self._allowed(between or (), machine, address)):
                    right = ", ".join(sorted(self._allowed(networks, machine, address)))
                    yield f"{machine} to {address} by {', '.join(sorted(odd))}, not {right}"
                    yield from (f"  {machine}'s kernel: {message}" for message in watch.messages)
            yield from watch.missed()

    def _allowed(self, networks: Iterable[ConvergedNetwork], machine: str, address: IPv4Address) -> frozenset[Hop]:
        return frozenset[Hop]().union(*(allowed(self.built, each, machine, address) for each in networks))
