"""The RIBs of one instance: what peers have advertised, and what is, and is to be, advertised to them.

Peers are known by their addresses here, as on the wire; prefixes by their text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from labkit.azure.model import PathAttributes

Routes = dict[str, PathAttributes]
"""Attributes by prefix."""


class AdjRibIn:
    """Everything that peers have advertised and not withdrawn, by peer, whether a rule drops it or not."""

    def __init__(self) -> None:
        self._routes: dict[str, Routes] = {}
        self._speakers: Counter[str] = Counter()
        """How many peers have advertised a prefix; no prefix that nobody has."""

    def __len__(self) -> int:
        """How many prefixes have been advertised, by however many peers."""
        return len(self._speakers)

    def __contains__(self, prefix: str) -> bool:
        """Whether any peer has advertised a prefix."""
        return prefix in self._speakers

    def routes(self, peer: str) -> Mapping[str, PathAttributes]:
        """What a peer has advertised."""
        return self._routes.get(peer, {})

    def peers(self) -> list[str]:
        """Those that have advertised anything."""
        return list(self._routes)

    def announce(self, peer: str, prefix: str, attributes: PathAttributes) -> None:
        """A peer advertises a prefix, for the first time or with other attributes."""
        routes = self._routes.setdefault(peer, {})
        if prefix not in routes:
            self._speakers[prefix] += 1
        routes[prefix] = attributes

    def withdraw(self, peer: str, prefix: str) -> bool:
        """A peer withdraws a prefix; whether it had advertised it."""
        if self._routes.get(peer, {}).pop(prefix, None) is None:
            return False
        self._withdrawn(prefix)
        return True

    def drop(self, peer: str) -> Mapping[str, PathAttributes]:
        """A peer's session is gone, and with it all that it advertised, which is returned."""
        routes = self._routes.pop(peer, {})
        for prefix in routes:
            self._withdrawn(prefix)
        return routes

    def _withdrawn(self, prefix: str) -> None:
        self._speakers[prefix] -= 1
        if not self._speakers[prefix]:
            del self._speakers[prefix]


@dataclass(frozen=True, slots=True)
class RibChange:
    """One change of the Adj-RIB-Out: prefixes that all of `peers` get with these attributes, or had and lose."""

    peers: tuple[str, ...]
    attributes: PathAttributes
    prefixes: tuple[str, ...]
    withdrawn: bool = False


class AdjRibOut:
    """What is to be advertised to peers, and what the speaker was given to advertise to them.

    The difference is handed out in `changes`, as much at a time as the speaker takes. Until then changes of the same
    prefix replace each other, so a storm of updates costs what its outcome costs.

    For a peer without a session there are withdrawals only: ExaBGP does not keep the order of what waits for a session,
    and leaves withdrawals out of the first UPDATEs of one.
    """

    def __init__(self) -> None:
        self._open: set[str] = set()
        self._wanted: dict[str, Routes] = {}
        self._sent: dict[str, Routes] = {}
        self._dirty: dict[str, set[str]] = {}

    def __bool__(self) -> bool:
        """Whether there may be changes to hand out."""
        return bool(self._dirty)

    def wanted(self, peer: str) -> Mapping[str, PathAttributes]:
        """What is to be advertised to a peer."""
        return self._wanted.get(peer, {})

    def sent(self, peer: str) -> Mapping[str, PathAttributes]:
        """What the speaker has for a peer once it has carried out every command."""
        return self._sent.get(peer, {})

    def peers(self) -> set[str]:
        """Those for which there is anything, wanted or sent."""
        return {*self._wanted, *self._sent}

    def forget(self, peer: str) -> None:
        """The speaker does not know a peer any more, nor what was for it."""
        self._open.discard(peer)
        self._sent.pop(peer, None)
        self._wanted.pop(peer, None)
        self._dirty = {prefix: rest for prefix, peers in self._dirty.items() if (rest := peers - {peer})}

    def recovered(self, sent: Mapping[str, Mapping[str, PathAttributes]]) -> None:
        """Take what the speaker has."""
        self._sent = {peer: dict(routes) for peer, routes in sent.items()}
        for peer in self.peers():
            self._look_through(peer)

    def open(self, peer: str) -> None:
        """A peer has a session."""
        self._open.add(peer)
        self._look_through(peer)

    def close(self, peer: str) -> None:
        """A peer has no session any more."""
        self._open.discard(peer)

    def want(self, peer: str, prefix: str, attributes: PathAttributes | None) -> None:
        """Decide what is to be advertised of a prefix to a peer; None for nothing."""
        routes = self._wanted.setdefault(peer, {})
        if attributes is None:
            if routes.pop(prefix, None) is None and prefix not in self.sent(peer):
                return
        else:
            routes[prefix] = attributes
        self._dirty.setdefault(prefix, set()).add(peer)

    def changes(self, prefixes: int) -> Iterator[RibChange]:
        """What the speaker has yet to advertise, of this many prefixes at most; counts as sent from now on."""
        groups: dict[tuple[tuple[str, ...], PathAttributes, bool], list[str]] = {}
        for prefix in list(self._take(prefixes)):
            by_change: dict[tuple[PathAttributes, bool], list[str]] = {}
            for peer in sorted(self._dirty.pop(prefix)):
                sent = self._sent.setdefault(peer, {})
                wanted, former = self.wanted(peer).get(prefix), sent.get(prefix)
                if wanted is not None and wanted != former and peer in self._open:
                    sent[prefix] = wanted
                    by_change.setdefault((wanted, False), []).append(peer)
                elif former is not None and wanted != former:
                    del sent[prefix]
                    by_change.setdefault((former, True), []).append(peer)
            for change, peers in by_change.items():
                groups.setdefault((tuple(peers), *change), []).append(prefix)
        for (targets, attributes, withdrawn), grouped in groups.items():
            yield RibChange(targets, attributes, tuple(grouped), withdrawn)

    def _look_through(self, peer: str) -> None:
        for prefix in {**self.sent(peer), **self.wanted(peer)}:
            self._dirty.setdefault(prefix, set()).add(peer)

    def _take(self, count: int) -> Iterable[str]:
        for prefix, _ in zip(self._dirty, range(count), strict=False):
            yield prefix
