"""How a process that starts behind a running ExaBGP learns where things stand.

It asks for a summary header, the Adj-RIBs, and the neighbours (`wire.RECOVERY`). ExaBGP answers these in order, amid
events and whatever a predecessor had asked for. Two rules make the outcome exact:

- A header begins, the neighbours end. What lies between two of our own markers is whole, even if a predecessor asked
  for it; the tail of an answer whose header the predecessor has read is passed over.
- ExaBGP writes an event before it changes its Adj-RIB-In, so any event that we see overrides what is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from labkit.azure.model import PathAttributes
from labkit.routeserver.wire import (
    ESTABLISHED,
    Answer,
    Event,
    SessionChange,
    ShownNeighbours,
    ShownRoute,
    SummaryHeader,
    Update,
)


class RecoveryFailed(Exception):
    """ExaBGP could not show its RIBs. Only a fresh start of both can then be trusted."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """Where things stand: state and seconds in it, expected ASN, and the RIBs, by peer address."""

    states: Mapping[str, tuple[str, float]]
    asns: Mapping[str, int]
    adj_rib_in: Mapping[str, Mapping[str, PathAttributes]]
    adj_rib_out: Mapping[str, Mapping[str, PathAttributes]]


@dataclass
class Recovery:
    """Takes every event until it knows.

    Some attributes are shown in a form that can't be read back (extended communities by name). `refreshes` are then
    the peers to be asked for their routes, and the outcome waits until each such route was seen, or for `late`.
    """

    refreshes: tuple[str, ...] = ()
    _answers: int | None = None
    _shown: tuple[list[ShownRoute], list[ShownRoute]] = field(default_factory=lambda: ([], []))
    _seen: dict[str, dict[str, PathAttributes | None]] = field(default_factory=dict)
    _anew: set[str] = field(default_factory=set)
    _states: dict[str, tuple[str, float]] | None = None
    _asns: Mapping[str, int] = field(default_factory=dict)

    def take(self, event: Event) -> Recovered | None:
        """Take the next event; the outcome with the one that completes it.

        Raises:
            RecoveryFailed: see there.
        """
        match event:
            case Update():
                seen = self._seen.setdefault(event.peer, {})
                seen.update(dict.fromkeys(event.withdrawn))
                for attributes, prefixes in event.announced:
                    seen.update(dict.fromkeys(prefixes, attributes))
            case SessionChange():
                self._seen[event.peer] = {}
                self._anew.add(event.peer)
                if self._states is not None:
                    self._states[event.peer] = event.state, 0.0
            case SummaryHeader() if self._states is None:
                self._answers, self._shown = 0, ([], [])
            case Answer() if self._answers is not None and self._states is None:
                if not event.done:
                    raise RecoveryFailed("ExaBGP could not show its RIBs")
                self._answers += 1
            case ShownRoute() if self._answers in {1, 2} and self._states is None:
                self._shown[self._answers - 1].append(event)
            case ShownNeighbours() if self._answers == 3 and self._states is None:
                self._states, self._asns = dict(event.states), event.asns
                self.refreshes = tuple(sorted({route.peer for route in self._inexact()}))
            case _:
                return None
        if self._states is None or (self.refreshes and any(True for _ in self._inexact())):
            return None
        return self._outcome(self._states)

    def late(self) -> Recovered | None:
        """The outcome without further waiting for refreshes; None when more is missing than these."""
        return None if self._states is None else self._outcome(self._states)

    def _standing(self) -> Iterator[ShownRoute]:
        """Shown routes that were received in a session that is still established, and that no event overrides."""
        assert self._states is not None
        for route in self._shown[0]:
            state, _ = self._states.get(route.peer, ("", 0.0))
            seen = route.prefix in self._seen.get(route.peer, ())
            if state == ESTABLISHED and route.peer not in self._anew and not seen:
                yield route

    def _inexact(self) -> Iterator[ShownRoute]:
        return (route for route in self._standing() if not route.exact)

    def _outcome(self, states: Mapping[str, tuple[str, float]]) -> Recovered:
        adj_rib_in: dict[str, dict[str, PathAttributes]] = {}
        for route in self._standing():
            if route.attributes is not None:
                adj_rib_in.setdefault(route.peer, {})[route.prefix] = route.attributes
        for peer, seen in self._seen.items():
            if states.get(peer, ("", 0.0))[0] == ESTABLISHED:
                adj_rib_in.setdefault(peer, {}).update({p: a for p, a in seen.items() if a is not None})
        adj_rib_out: dict[str, dict[str, PathAttributes]] = {}
        for route in self._shown[1]:
            if route.attributes is None:
                raise RecoveryFailed(f"ExaBGP's Adj-RIB-Out shows {route.prefix} with attributes that can't be")
            adj_rib_out.setdefault(route.peer, {})[route.prefix] = route.attributes
        return Recovered(states, self._asns, adj_rib_in, adj_rib_out)
