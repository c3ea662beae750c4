"""Random steps, drawn by Hypothesis: what fails is tried again with fewer steps, until no step can be left out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import yaml
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from labkit.errors import LabkitError
from labkit.resources import topologies
from tests.e2e.chaos.trial import Trial


def hasty(text: str, hold: int = 3) -> str:
    """A lab file whose appliances notice a silent death within so many seconds."""
    file = _read(yaml.safe_load(text))
    for nva in file.get("nvas", {}).values():
        if "asn" in nva:
            nva["timers"] = {"keepalive": hold // 3, "hold": hold}
    return yaml.safe_dump(file, sort_keys=False)


def _read(value: Any) -> Any:
    """What YAML 1.1 has read, as labkit reads it: the key `on` is a word."""
    if isinstance(value, dict):
        return {"on" if key is True else key: _read(each) for key, each in value.items()}
    return [_read(each) for each in value] if isinstance(value, list) else value


def bundled(name: str) -> str:
    """The file of a bundled lab, under another name than the lab's own."""
    return (topologies() / name / "lab.yml").read_text().replace(f"name: {name}\n", "name: chaos\n")


@contextmanager
def printed(trial: Trial) -> Iterator[None]:
    """A failure is printed at once: making it shorter may take longer than anyone waits."""
    try:
        yield
    except (AssertionError, LabkitError) as failure:
        script = trial.script()
        print(f"\nfailed: {str(failure).replace(script, '')}\n{script}", end="")
        raise


class Chaos(RuleBasedStateMachine):
    """A lab out of `labs`; the script of a failure is written to `folder`."""

    labs: ClassVar[st.SearchStrategy[str]]
    folder: ClassVar[Path]
    kept: ClassVar[list[int]]
    """For each lab that was taken down whole, how many steps befell it."""
    trial: Trial | None = None

    @initialize(data=st.data())
    def up(self, data: st.DataObject) -> None:
        """A lab is up."""
        self.began = time.monotonic()
        self.trial = Trial(data.draw(self.labs, label="lab"), self.folder)

    @rule(data=st.data())
    def befalls(self, data: st.DataObject) -> None:
        """Something happens to it."""
        assert self.trial is not None
        kinds = self.trial.choices()
        kind = data.draw(st.sampled_from(sorted(kinds)), label="kind")
        step = data.draw(st.sampled_from(kinds[kind]), label="step")
        with printed(self.trial):
            self.trial.do(step)

    def teardown(self) -> None:
        """Look at all there is to look at, and take the lab down."""
        if self.trial is None:
            return
        try:
            if not self.trial.failed:
                with printed(self.trial):
                    self.trial.finish()
                self.kept.append(len(self.trial.done))
                took = time.monotonic() - self.began
                print(f"\n{len(self.kept)}: {self.trial.built.name}, {self.kept[-1]} steps, {took:.0f} s", end="")
        finally:
            self.trial.close()
