"""Whether a running lab is what its file claims, and whether its kernels and fabrics follow the rules.

The sessions that the model expects and routes come first; then, once all machines and fabrics have applied what they
were sent, what must be absent, kernels and fabrics; then packets. While one of these does not hold, what depends on it
is not tried: kernels and fabrics, which follow the effective routes whatever these are, are looked at in the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from labkit.errors import CheckFailed, LabkitError
from labkit.lab.model import Lab
from labkit.lab.proofs import Absent, Capture, KernelRouteClaim, PathClaim, PingClaim, Proof
from labkit.operate.look.client import AT_ONCE, LabClient
from labkit.operate.look.live_state import LiveState
from labkit.operate.verify.captures import Comparison, compare
from labkit.operate.verify.checks import check, describe
from labkit.operate.verify.oracle import oracle_checks
from labkit.operate.verify.sessions import session_checks

PAUSE = 0.03
"""Seconds between two looks while something does not hold yet."""
OWN = 30.0
"""Seconds that labkit's own checks may take to hold."""
NOT_TRIED = "not tried, because a check that it depends on failed."


@dataclass(slots=True)
class Outcome:
    """How a check ended: `problem` is empty if it holds. `line` is its line in the lab file, 0 for labkit's own.

    `comparison` is that of a published table, as it was at the last live.
    """

    title: str
    line: int
    within: float
    run: Callable[[LiveState], str | None]
    problem: str = NOT_TRIED
    comparison: Comparison | None = None

    @property
    def ok(self) -> bool:
        """Whether the check holds."""
        return not self.problem


@dataclass(frozen=True, slots=True)
class Attempt:
    """A look at a lab that converges: the checks as they are after it.

    `converged` is whether those that need no packets all hold, and `waiting` are the ones that it waits for.
    """

    live: LiveState
    outcomes: Sequence[Outcome]
    sessions: Sequence[Outcome]
    waiting: Sequence[Outcome]
    converged: bool

    @property
    def held(self) -> int:
        """How many checks hold."""
        return sum(outcome.ok for outcome in self.outcomes)


Check = tuple[str, Callable[[LiveState], str | None]]
"""A check of labkit's own: its title, and what finds a problem, None if there is none."""


def verify(
    lab: Lab,
    client: LabClient,
    *,
    within: float | None = None,
    tables: Iterable[Check] = (),
    on_attempt: Callable[[Attempt], None] = lambda _: None,
) -> list[Outcome]:
    """Check all sessions and proofs of a lab, kernels and fabric programs, until all hold or time is up.

    Args:
        lab: the lab as its file has it.
        client: the running lab.
        within: seconds that everything may take to hold once what it depends on does, in place of the proofs' own; 0
            for one attempt.
        tables: checks of all BGP tables, tried once sessions and routes hold.
        on_attempt: called after every attempt.

    Returns:
        The outcomes: proofs in the order of the file, labkit's own last.
    """
    proofs = [_outcome(proof) for proof in lab.proofs]
    sessions, converging, own = map(_own, (session_checks(lab, client), tables, oracle_checks(lab)))
    rows: list[Outcome] = [*sessions]
    packets: list[Outcome] = []
    later: list[Outcome] = []
    for outcome, proof in zip(proofs, lab.proofs, strict=True):
        (packets if _sends_packets(proof) else later if _is_of_a_settled_lab(proof) else rows).append(outcome)
    settled = [*later, *own]
    outcomes = [*proofs, *sessions, *converging, *own]
    without_packets = [*rows, *converging, *settled]
    for stage in (rows, converging, settled, packets):
        started = time.monotonic()
        while not all(outcome.ok for outcome in stage):
            live = LiveState(lab, client)
            elapsed = time.monotonic() - started
            late = [o for o in stage if not o.ok and elapsed >= (o.within if within is None else within)]
            if stage is not settled or late or _programmed(live):
                _check(stage, live)
            waiting = [outcome for outcome in stage if not outcome.ok]
            on_attempt(Attempt(live, outcomes, sessions, waiting, all(o.ok for o in without_packets)))
            if not all(outcome.ok for outcome in late):
                if stage is rows or stage is converging:  # it will not settle any more; what there is of it is shown
                    _check(settled if _programmed(live) else later, live)
                return outcomes
            if waiting:
                time.sleep(PAUSE)  # daemons and kernels of all nodes: there is no event for "has converged"
    return outcomes


def _own(checks: Iterable[Check]) -> list[Outcome]:
    return [Outcome(title, 0, OWN, run) for title, run in checks]


def _programmed(live: LiveState) -> bool:
    """Whether every machine and fabric has applied what it was sent, or nobody knows."""
    try:
        return live.state.status.programmed
    except CheckFailed:
        return True


def _outcome(proof: Proof) -> Outcome:
    claim = proof.claim
    outcome = Outcome(describe(claim), proof.line, proof.within, lambda live: check(claim, live))
    if isinstance(claim, Capture):

        def compare_again(live: LiveState) -> str | None:
            outcome.comparison = compare(claim, live)
            return outcome.comparison.problem

        outcome.run = compare_again
    return outcome


def _sends_packets(proof: Proof) -> bool:
    claim = proof.claim.row if isinstance(proof.claim, Absent) else proof.claim
    return isinstance(claim, PingClaim | PathClaim)


def _is_of_a_settled_lab(proof: Proof) -> bool:
    """Whether a claim may hold too early, since its row is still to come, or looks at what is programmed last."""
    return isinstance(proof.claim, Absent | KernelRouteClaim)


def _check(stage: Iterable[Outcome], live: LiveState) -> None:
    """Check once more what does not hold yet."""

    def problem(outcome: Outcome) -> str:
        try:
            return outcome.run(live) or ""
        except LabkitError as error:
            return f"{error.message} {error.remedy}".strip()

    pending = [outcome for outcome in stage if not outcome.ok]
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for outcome, text in zip(pending, pool.map(problem, pending), strict=True):
            outcome.problem = text
    finally:
        # An interruption does not wait for checks that are under way: a traceroute may take its time.
        pool.shutdown(wait=False, cancel_futures=True)
