"""A model before and after changes: every speaker's routes and every NIC's effective routes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Network

from labkit.azure.model import Azure, EffectiveRoute
from labkit.azure.rules.validation import warnings
from labkit.errors import InvalidInput
from labkit.lab.file.refusal import refuse
from labkit.predict.azure_speakers import AdjRibsIn, AzureSpeakers, OscillationError
from labkit.predict.converge import RouterState
from labkit.predict.whatif.changes import DELETIONS, Change
from labkit.predict.whatif.outside import Followers, Unknown

Rows = tuple[EffectiveRoute, ...]


@dataclass(frozen=True)
class Side:
    """A model, what its speakers receive from outside, and what follows from both.

    `routers` is the state of NVAs and sites, where they are part of it.
    """

    azure: Azure
    adj_ribs_in: AdjRibsIn
    routers: RouterState = field(default_factory=RouterState)

    @cached_property
    def speakers(self) -> AzureSpeakers:
        """Every speaker once routing has converged.

        Raises:
            InvalidInput: it never converges.
        """
        with _settles():
            return AzureSpeakers(self.azure, self.adj_ribs_in)

    @property
    def rows(self) -> Mapping[str, Rows]:
        """Every NIC's effective routes."""
        return self.speakers.effective_routes

    def by_prefix(self, nic: str) -> dict[IPv4Network, Rows]:
        """A NIC's effective routes, Active and Invalid, by prefix."""
        found: dict[IPv4Network, Rows] = {}
        for row in self.rows[nic]:
            found[row.prefix] = (*found.get(row.prefix, ()), row)
        return found


@dataclass(frozen=True)
class Prediction:
    """What changes would do. `titles` say what they are, `warnings` what Azure accepts although it does not work.

    `unknown` is where NVAs and sites have reasons to advertise something else, and it is not known whether they will.
    """

    before: Side
    after: Side
    titles: tuple[str, ...]
    warnings: tuple[str, ...]
    unknown: tuple[Unknown, ...] = ()


def predict(
    azure: Azure, adj_ribs_in: AdjRibsIn, changes: Sequence[Change], followers: Followers | None = None
) -> Prediction:
    """Try changes, one after the other.

    `followers` advertise other routes then; without them, what is outside Azure advertises what it does now.

    Raises:
        InvalidInput: a change is of something that is not there, Azure would refuse the outcome, or the routes would
            never settle.
    """
    before, titles = Side(azure, adj_ribs_in, followers.now if followers is not None else RouterState()), []
    allowed = azure
    for change in changes:
        titles.append(change.title(azure))
        if isinstance(change, DELETIONS):
            refuse(allowed, azure)
        azure, adj_ribs_in = change.apply(azure, adj_ribs_in)
        if isinstance(change, DELETIONS):
            allowed = azure
    refuse(allowed, azure)
    known = {problem.text for problem in warnings(before.azure)}
    new = tuple(f"{problem.text}." for problem in warnings(azure) if problem.text not in known)
    if followers is None:
        return Prediction(before, Side(azure, adj_ribs_in), tuple(titles), new)
    with _settles():
        end = followers.after(azure, adj_ribs_in)
    after = Side(azure, end.speakers.adj_ribs_in, end.routers)
    return Prediction(before, after, tuple(titles), new, tuple(followers.unknown(adj_ribs_in, end.routers)))


@contextmanager
def _settles() -> Iterator[None]:
    try:
        yield
    except OscillationError:
        raise InvalidInput(
            "the routes would never settle: each that comes makes itself go.",
            "Look for a loop of gateways, circuits, route servers and NVAs in it.",
        ) from None


def same(one: Iterable[EffectiveRoute], other: Iterable[EffectiveRoute]) -> bool:
    """Whether rows of one prefix are the same, whatever their order."""
    return set(one) == set(other)
