"""Random steps, drawn by Hypothesis: what fails is tried again with fewer steps, until no step can be left out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import yaml
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from labkit.resources import topologies
from tests.e2e.chaos import steps
from tests.e2e.chaos.steps import Step
from tests.e2e.chaos.trial import Trial
from tests.e2e.random_labs import wishes

MOST_OFF = 2
"""Nodes that may be off at a time."""

TIMERS = {"keepalive": 1, "hold": 3}


def hasty(text: str) -> str:
    """A lab file whose appliances notice a silent death within seconds."""
    file = _read(yaml.safe_load(text))
    for nva in file.get("nvas", {}).values():
        nva["timers"] = TIMERS
    return yaml.safe_dump(file, sort_keys=False)


def _read(value: Any) -> Any:
    """What YAML 1.1 has read, as labkit reads it: the key `on` is a word."""
    if isinstance(value, dict):
        return {"on" if key is True else key: _read(each) for key, each in value.items()}
    return [_read(each) for each in value] if isinstance(value, list) else value


def bundled(name: str) -> str:
    """The file of a bundled lab, under another name than the lab's own."""
    return (topologies() / name / "lab.yml").read_text().replace(f"name: {name}\n", "name: chaos\n")


class Chaos(RuleBasedStateMachine):
    """A lab out of `labs`; the script of a failure is written to `folder`."""

    labs: ClassVar[st.SearchStrategy[str]]
    folder: ClassVar[Path]
    trial: Trial | None = None

    @initialize(data=st.data())
    def up(self, data: st.DataObject) -> None:
        """A lab is up."""
        self.trial = Trial(data.draw(self.labs, label="lab"), self.folder)

    @property
    def _trial(self) -> Trial:
        assert self.trial is not None
        return self.trial

    @rule(data=st.data())
    def fault(self, data: st.DataObject) -> None:
        """Something breaks, and mends itself."""
        self._take(data, (step for step in steps.faults(self._trial.built) if step.node not in self._trial.off))

    @rule(data=st.data())
    def operator_changes(self, data: st.DataObject) -> None:
        """Somebody changes Azure's objects."""
        self._take(data, (steps.changed(w.change) for w in wishes(self._trial.built, self._trial.now)))

    @rule(data=st.data())
    @precondition(lambda self: len(self._trial.off) < MOST_OFF)
    def power_off(self, data: st.DataObject) -> None:
        """A node loses its power."""
        nodes = steps.may_be_off(self._trial.built) - self._trial.off
        self._take(data, (steps.power_off(node) for node in sorted(nodes)))

    @rule(data=st.data())
    @precondition(lambda self: self._trial.off)
    def power_on(self, data: st.DataObject) -> None:
        """And has it again."""
        self._take(data, (steps.power_on(node) for node in sorted(self._trial.off)))

    def teardown(self) -> None:
        """Power everything on, look at all there is to look at, and take the lab down."""
        if self.trial is None:
            return
        try:
            if not self.trial.failed:
                for node in sorted(self.trial.off):
                    self.trial.do(steps.power_on(node))
                self.trial.do(steps.RESET)
                self.trial.finish()
        finally:
            self.trial.close()

    def _take(self, data: st.DataObject, choices: Iterable[Step]) -> None:
        self._trial.do(data.draw(st.sampled_from(list(choices)), label="step"))
