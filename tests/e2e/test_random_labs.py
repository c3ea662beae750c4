"""Random labs: where real BGP comes to rest, and what kernels and fabrics are programmed with, agrees with the rules.

On the sandbox alone, which is the faster one; that both runtimes show the same rows is proved with every other lab.
`make soak` boots hundreds of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, event, given, settings
from hypothesis import strategies as st

from labkit.lab.load import load_text
from labkit.lab.model import Lab
from labkit.lab.plan.bgp_sessions import bgp_sessions
from labkit.operate.labs import lifecycle
from labkit.operate.look.client import LabClient
from labkit.operate.look.live_state import LiveState
from labkit.operate.reshape import reshape
from labkit.operate.trace.run import trace
from labkit.operate.verify.run import verify
from labkit.operate.verify.sessions import session_problem
from labkit.predict.sessions import expected_sessions
from labkit.runtimes.select import SANDBOX, runtime
from tests.e2e.by_the_rules import astray, settles
from tests.e2e.chaos.machine import hasty
from tests.e2e.chaos.rules import wrong
from tests.e2e.random_labs import lab_files, wishes
from tests.e2e.waiting import SOON, eventually
from tests.extent import LONG, RANDOM_LABS

CHANGES = 3
"""What operators do to each lab."""

HOLD = 6
"""Seconds that an appliance keeps a session which a change has cut off: its far end may know nothing of it any more."""

LABS = lab_files().map(lambda text: hasty(text, HOLD))


# No shrinking, since every example is a lab to boot.
@settings(
    max_examples=RANDOM_LABS,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(text=LABS, data=st.data())
def test_a_random_lab_agrees_with_the_rules(tmp_path_factory: Any, text: str, data: st.DataObject) -> None:
    """And stays so, whatever operators change of it while it runs."""
    file: Path = tmp_path_factory.mktemp("random") / "random.lab.yml"
    file.write_text(text)
    lab = load_text(text, str(file))
    assume(settles(lab, lab.azure))
    event(f"{len(lab.azure.route_servers)} route servers, {len(lab.azure.gateways)} gateways")
    up = lifecycle.up(str(file), runtime(SANDBOX), lifecycle.Silent(), "")
    try:
        assert [f"{o.title}: {o.problem}" for o in up.outcomes if not o.ok] == [], text
        client = LabClient(up.record)
        said = [text]
        comes_to_rest(lab, lab, client, text)
        now = lab
        for _ in range(CHANGES):
            wish = data.draw(st.sampled_from(wishes(lab, now)), label="change")
            said.append(str(wish.change))
            event(type(wish.change).__name__)
            client.change(wish.change)
            now = wish.lab
            comes_to_rest(lab, now, client, "\n".join(said))
    finally:
        lifecycle.down(up.record)


@pytest.mark.skipif(not LONG, reason="it boots labs: `make soak`")
@settings(
    max_examples=max(1, RANDOM_LABS // 10),
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(one=LABS, other=LABS)
def test_a_random_lab_becomes_another_while_it_runs(tmp_path_factory: Any, one: str, other: str) -> None:
    """And then the first one again: what both have keeps running or is made again, and all is as the rules have it."""
    file: Path = tmp_path_factory.mktemp("random") / "random.lab.yml"
    file.write_text(one)
    labs = [load_text(text, str(file)) for text in (one, other)]
    assume(all(settles(lab, lab.azure) for lab in labs))
    record = lifecycle.up(str(file), runtime(SANDBOX), lifecycle.Silent(), "").record
    try:
        for text in (other, one):
            now = reshape(record, text, str(file)).edited.lab
            comes_to_rest(now, now, LabClient(record), f"{one}\n---\n{other}")
    finally:
        lifecycle.down(record)


def comes_to_rest(built: Lab, now: Lab, client: LabClient, text: str) -> None:
    """Everything is as the rules have it for the lab as it is `now`; `text` has what led there."""
    eventually(lambda: wrong(built, now.azure, (), client), lambda found: found == [], what=text)
    broken = [f"{o.title}: {o.problem}" for o in verify(built, client, within=SOON) if not o.ok]
    assert broken == [], text
    live = LiveState(built, client)
    there = [session for session in bgp_sessions(built) if session_problem(session, live) is None]
    assert there == [*expected_sessions(built, now.azure)], text
    assert astray(built, client) == [], text
    for source, target in journeys(built):
        # A kernel answers that it has no route five times at first, then once a second to each that asks: no setting
        # of a node changes that, and the traces before this one have asked.
        eventually(
            lambda source=source, target=target: trace(built, client, source, target),  # type: ignore[misc]
            lambda found: found.agrees,
            what=f"{source} to {target}\n{text}",
        )


def journeys(lab: Lab) -> list[tuple[str, str]]:
    """A few ways through the lab: between machines, on-premises and back."""
    machines = [vm.name for vm in lab.virtual_machines]
    sites = [site.name for site in lab.sites]
    pairs = [(machines[0], machines[-1])]
    if sites:
        pairs += [(machines[0], sites[0]), (f"{sites[-1]}-host", machines[-1])]
    if len(sites) > 1:
        pairs.append((f"{sites[0]}-host", sites[-1]))
    return [(source, target) for source, target in pairs if source != target]
