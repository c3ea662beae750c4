"""One route server instance, without I/O: events and configuration in, Adj-RIB-Out changes and reports out."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from labkit.azure.model import PathAttributes, PeerKind
from labkit.azure.rules.limits import counted_prefixes, counted_routes, tears_down, tears_down_in_total
from labkit.feed.bgp import RibDelta, RibSnapshot, RouteGroup, SessionState, grouped
from labkit.feed.reporter import RibReporter
from labkit.routeserver.limit import RouteCounter
from labkit.routeserver.policy import Policy, PolicyConfig
from labkit.routeserver.recovery import Recovered
from labkit.routeserver.rib import AdjRibIn, AdjRibOut, RibChange
from labkit.routeserver.wire import ESTABLISHED, OPEN_SENT, SessionChange, ShownNeighbours, Update

UNKNOWN = "the speaker does not know this peer"
AWAITED = "the peer has not opened a session"
"""A route server waits: it is the peer who connects."""


class InstanceState:
    """The state of one instance. It starts from what ExaBGP has, and without a configuration.

    Until the first `configure` it only remembers: nothing is kept, advertised or reported, since policy is not known.
    """

    def __init__(self, recovered: Recovered, now: float) -> None:
        self.speakers_peers = frozenset(recovered.states)
        self._asns = dict(recovered.asns)
        self.over_limit: list[str] = []
        """Peers (addresses) whose session the limit ends: to be torn down by whoever owns the speaker."""
        self.out = AdjRibOut()
        self._sessions = {peer: _session(state, seconds, now) for peer, (state, seconds) in recovered.states.items()}
        self._received = AdjRibIn()
        for peer, routes in recovered.adj_rib_in.items():
            for prefix, attributes in routes.items():
                self._received.announce(peer, prefix, attributes)
        self.out.recovered(recovered.adj_rib_out)
        for peer, session in self._sessions.items():
            if session.established:
                self.out.open(peer)
        self._started = now
        self._policy: Policy | None = None
        self._config: PolicyConfig | None = None
        self._names: dict[str, str] = {}
        self._kept: dict[str, dict[str, PathAttributes]] = {}
        self._undecided: set[str] = set()
        self._counters: dict[str, RouteCounter] = {}
        self._condemned: dict[str, str] = {}
        self._leaving: set[str] = set()
        self._reporter = RibReporter()

    @property
    def configured(self) -> bool:
        """Whether a configuration has come."""
        return self._config is not None

    @property
    def alone(self) -> bool:
        """Whether the speaker has no neighbours, and has closed its session with the last of them."""
        return not self.speakers_peers and not self._leaving

    @property
    def established(self) -> bool:
        """Whether any session is established."""
        return any(session.established for session in self._sessions.values())

    def name(self, address: str) -> str:
        """The name of the peer with an address; empty if no peer has it."""
        return self._names.get(address, "")

    def session_is_up(self, address: str) -> bool:
        """Whether the session of the peer with an address is established."""
        session = self._sessions.get(address)
        return session is not None and session.established

    # What comes in.

    def configure(self, config: PolicyConfig) -> bool:
        """Take a configuration; all that was received is judged again if it differs.

        Returns:
            Whether the peers are others than before, so that only a snapshot can report them to the controller.
        """
        if config == self._config:
            return False
        former_names, new = self._names, self._config is None
        self._config, self._policy = config, Policy(config)
        self._names = {address: peer.name for address, peer in self._policy.peers.items()}
        for address in () if new else self._sessions.keys() & self._names.keys() - former_names.keys():
            # Why the session ended while nobody wanted it is no reason of the one that is awaited now.
            if not self._sessions[address].established:
                self._sessions[address] = replace(self._sessions[address], reason=AWAITED)
        former, self._kept = self._kept, {}
        self._undecided.update(former)
        for prefix, paths in former.items():
            for peer in paths:
                self._changed(peer, prefix)
        allowed: set[str] = set()
        for peer in self._received.peers():
            received = self._received.routes(peer)
            if peer in self._names and self._condemned_for(peer, 0, len(received), len(allowed | received.keys())):
                continue
            allowed |= received.keys()
            for prefix, attributes in received.items():
                self._keep(peer, prefix, attributes)
        for peer in self.out.peers() | (self._policy.peers.keys() & self.speakers_peers):
            originated = self._policy.originated(peer) if peer in self._policy.peers else {}
            for prefix in [p for p in self.out.wanted(peer) if p not in originated]:
                self.out.want(peer, prefix, None)
                self._undecided.add(prefix)
            for prefix, attributes in originated.items():
                self.out.want(peer, prefix, attributes)
        return self._names != former_names

    def speaks_with(self, shown: ShownNeighbours, now: float) -> None:
        """The speaker has these neighbours now. Those that went are forgotten.

        New ones, and those of whom another ASN is expected now, get everything: the speaker has nothing for them.
        """
        before, self._asns = self._asns, dict(shown.asns)
        self.speakers_peers = frozenset(shown.asns)
        for peer in before.keys() - shown.asns.keys():
            if peer in self._sessions and self._sessions[peer].established:
                self._leaving.add(peer)
            self._forget_session(peer)
            self._sessions.pop(peer, None)
            self.out.forget(peer)
        for peer in (peer for peer, asn in shown.asns.items() if before.get(peer) != asn):
            state, seconds = shown.states[peer]
            self._sessions.setdefault(peer, _session(state, seconds, now))
            self.out.forget(peer)
            if self._sessions[peer].established:
                self.out.open(peer)
            if self._policy is not None and peer in self._policy.peers:
                for prefix, attributes in self._policy.originated(peer).items():
                    self.out.want(peer, prefix, attributes)
                self._undecided.update(self._kept)

    def update(self, event: Update) -> None:
        """A peer's UPDATE."""
        if event.peer in self._condemned:
            return
        for prefix in event.withdrawn:
            if self._received.withdraw(event.peer, prefix):
                self._lose(event.peer, prefix)
        if event.announced and self._exceeds(event):
            return
        for attributes, prefixes in event.announced:
            for prefix in prefixes:
                self._received.announce(event.peer, prefix, attributes)
                self._keep(event.peer, prefix, attributes)

    def session_changed(self, event: SessionChange) -> None:
        """A session came up, went down, or is on its way; either way its routes are gone."""
        reason = event.reason
        if event.state != OPEN_SENT:
            reason = self._condemned.pop(event.peer, reason)
        self._leaving.discard(event.peer)
        self._sessions[event.peer] = SessionState(event.state, event.time, reason)
        self._forget_session(event.peer)
        if event.state == ESTABLISHED:
            self.out.open(event.peer)

    def _forget_session(self, peer: str) -> None:
        """A peer's session is over, and all that came in it is gone."""
        self.out.close(peer)
        self._counters.pop(peer, None)
        for prefix in self._received.drop(peer):
            self._lose(peer, prefix)

    # What goes out.

    def settle(self) -> None:
        """Decide about every prefix that something happened to."""
        policy = self._policy
        if policy is None:
            return
        targets = [peer for peer in policy.peers if peer in self.speakers_peers]
        for prefix in self._undecided:
            advertised = policy.advertised(prefix, self._kept.get(prefix, {}))
            for peer in targets:
                if prefix not in policy.originated(peer):
                    self.out.want(peer, prefix, advertised.get(peer))
        self._undecided.clear()

    def changes(self, prefixes: int) -> Iterator[RibChange]:
        """Changes of the Adj-RIB-Out, about this many prefixes at most; none before the first configuration."""
        return self.out.changes(prefixes) if self.configured else iter(())

    def snapshot(self, now: float) -> RibSnapshot:
        """The report of everything."""
        routes: dict[str, dict[str, PathAttributes]] = {}
        for prefix, paths in self._kept.items():
            for peer, attributes in paths.items():
                routes.setdefault(self._names[peer], {})[prefix] = attributes
        return self._reporter.snapshot(self._named_sessions(), routes, now)

    def delta(self, now: float) -> RibDelta | None:
        """The report of what changed; None if nothing did."""
        addresses = {name: address for address, name in self._names.items()}
        return self._reporter.delta(
            self._named_sessions(), lambda name, prefix: self._kept.get(prefix, {}).get(addresses.get(name, "")), now
        )

    def refresh(self, able: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The NVAs (addresses) with a session: those to be asked for all their routes, and those to be reset instead.

        `able` are the peers that can be asked. What they answer is an announcement of its own, and counted as one.
        """
        config = self._config
        nvas = [str(p.address) for p in config.server.peers if p.kind is PeerKind.NVA] if config is not None else []
        up = [peer for peer in nvas if peer in self._sessions and self._sessions[peer].established]
        for peer in up:
            self._counters.pop(peer, None)
        return tuple(peer for peer in up if peer in able), tuple(peer for peer in up if peer not in able)

    def advertised(self, peer_name: str) -> tuple[RouteGroup, ...]:
        """The Adj-RIB-Out of a peer (its name); nothing while its session is down."""
        for address, name in self._names.items():
            session = self._sessions.get(address)
            if name == peer_name and session is not None and session.established:
                return grouped(self.out.sent(address).items())
        return ()

    def received(self, peer_name: str) -> tuple[RouteGroup, ...]:
        """The Adj-RIB-In of a peer (its name), before import policy."""
        address = next((address for address, name in self._names.items() if name == peer_name), "")
        return grouped(self._received.routes(address).items())

    # Within.

    def _named_sessions(self) -> dict[str, SessionState]:
        unknown = SessionState("Idle", self._started, UNKNOWN)
        return {name: self._sessions.get(address, unknown) for address, name in self._names.items()}

    def _keep(self, peer: str, prefix: str, attributes: PathAttributes) -> None:
        policy = self._policy
        if policy is None:
            return
        if policy.keeps(peer, prefix, attributes):
            self._kept.setdefault(prefix, {})[peer] = attributes
            self._changed(peer, prefix)
        else:
            self._lose(peer, prefix)

    def _lose(self, peer: str, prefix: str) -> None:
        paths = self._kept.get(prefix)
        if paths is None or paths.pop(peer, None) is None:
            return
        if not paths:
            del self._kept[prefix]
        self._changed(peer, prefix)

    def _changed(self, peer: str, prefix: str) -> None:
        self._undecided.add(prefix)
        name = self._names.get(peer)
        if name is not None:
            self._reporter.route_changed(name, prefix)

    def _exceeds(self, event: Update) -> bool:
        """Count an announcement; whether it ends the session [limit-counting, total-prefixes]."""
        if self._config is None:
            return False
        counter = self._counters.setdefault(event.peer, RouteCounter())
        prefixes = {p for _, announced in event.announced for p in announced}
        held = self._received.routes(event.peer)
        counter.count(len(held), prefixes, event.time)
        in_total = len(self._received) + sum(prefix not in self._received for prefix in prefixes)
        then_held = len(held) + sum(prefix not in held for prefix in prefixes)
        repeated = counted_routes(counter.held, counter.announced) - then_held
        return self._condemned_for(event.peer, counter.held, counter.announced, in_total, repeated)

    def _condemned_for(self, peer: str, held: int, announced: int, in_total: int, repeated: int = 0) -> bool:
        """Whether a limit ends a peer's session, which is forgotten then: `in_total` are all peers' prefixes."""
        assert self._config is not None
        server, mine = self._config.server, self._config.originated
        prefixes = in_total + len(mine.own) + len(mine.spokes)
        if tears_down(held, announced, server.routes_per_peer):
            reason = f"{counted_routes(held, announced)} routes counted, {server.routes_per_peer} allowed"
        elif tears_down_in_total(prefixes, repeated, server.total_prefixes):
            count = counted_prefixes(prefixes, repeated)
            reason = f"{count} prefixes counted in total, {server.total_prefixes} allowed"
        else:
            return False
        self._condemned[peer] = reason
        self.over_limit.append(peer)
        for prefix in self._received.drop(peer):
            self._lose(peer, prefix)
        return True


def _session(state: str, seconds: float, now: float) -> SessionState:
    """A session that the speaker shows in a state, Established for so many seconds."""
    return SessionState(state, now - seconds) if state == ESTABLISHED else SessionState(state, now, AWAITED)
