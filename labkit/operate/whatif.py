"""What changes of a running lab would do to routes and packets, worked out by the rules before anything is done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from labkit.azure.changes.base import Change
from labkit.azure.model import PeerKind
from labkit.azure.rules.limits import GATEWAY_TO_CIRCUIT_ROUTES, circuit_drops_gateway
from labkit.azure.rules.rows import effective_json
from labkit.daemons.tables import ESTABLISHED
from labkit.feed.status import PlatformStatus
from labkit.lab.file.problems import listed
from labkit.lab.model import Lab
from labkit.lab.running import carry_out
from labkit.operate.look.client import LabClient
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.router_sessions import RouterSession, router_sessions
from labkit.operate.look.snapshot import Snapshot, by_prefix, customer_adj_ribs_out, read
from labkit.predict.converge import CustomerRouters
from labkit.predict.sessions import accepted_from_gateway
from labkit.predict.whatif.model import Prediction, predict
from labkit.predict.whatif.outside import ASSUMED, Followers
from labkit.predict.whatif.prepend import Prepend
from labkit.predict.whatif.reach import PairChange, predicted, reach_changes
from labkit.predict.whatif.routes import AdvertisementChange, NicChange, advertisement_changes, nic_changes


@dataclass(frozen=True, slots=True)
class Outlook:
    """What would change. `warnings` are what else to know, `assumed` what was taken for granted.

    The lab is `unsettled` where NICs have other routes now than the rules make of what its speakers have received. Not
    everything is `followed` where a router outside Azure advertises what its configuration does not explain, and would
    have a reason to advertise something else.
    """

    nics: tuple[NicChange, ...]
    pairs: tuple[PairChange, ...]
    advertised: tuple[AdvertisementChange, ...]
    warnings: tuple[str, ...]
    assumed: tuple[str, ...]
    unsettled: tuple[str, ...]
    followed: bool

    @property
    def nothing(self) -> bool:
        """Whether nothing would change."""
        return not (self.nics or self.pairs or self.advertised)


def whatif(lab: Lab, client: LabClient, changes: Sequence[Change], prepends: Sequence[Prepend] = ()) -> Outlook:
    """Predict what changes of Azure, and prepends of NVAs, would do to a running lab; the lab stays as it is.

    Raises:
        InvalidInput: a change is of something that the lab does not have, or Azure would refuse it.
        CheckFailed: the controller, a route server's instance or a circuit does not answer.
    """
    live = LiveState(lab, client)
    running = read(live)
    customers = CustomerRouters(lab, running.azure)
    status = client.fetch(PlatformStatus, "status")
    down = tuple(_down(status, router_sessions(client, status, live.off)))
    changed = carry_out(lab, running.azure, changes).azure
    received = running.adj_ribs_in
    advertised = customer_adj_ribs_out(customers, live, received)
    followers = Followers(customers, running.azure, received, advertised)
    prediction = predict(running.azure, received, changed, prepends, followers)
    unknown = tuple(_unknown(prediction))
    return Outlook(
        nic_changes(prediction),
        reach_changes(lab, prediction.before, prediction.after),
        advertisement_changes(lab, prediction),
        (
            *(f"{text} It is assumed to advertise what it does now." for text in lab.own_routers.values()),
            *down,
            *prediction.warnings,
            *_limits(prediction),
            *_cut_off(lab, prediction),
            *_unconfigured(customers, prediction),
            *unknown,
        ),
        ASSUMED,
        tuple(unsettled(running, prediction)),
        not unknown,
    )


def unsettled(running: Snapshot, prediction: Prediction) -> Iterator[str]:
    """Where the running lab is not what the rules make of it: it is on its way, or something is wrong with it."""
    for nic in prediction.before.azure.nic:
        now = by_prefix(running.model.effective[nic]["value"])
        model = by_prefix(effective_json(prediction.before.rows[nic])["value"])
        for prefix in sorted(now.keys() | model.keys()):
            if now.get(prefix) != model.get(prefix):
                yield f"{nic} {prefix}"


def _down(status: PlatformStatus, routers: Iterable[RouterSession]) -> Iterator[str]:
    """Sessions that are down, of which nobody knows what they would bring, and backends of load balancers."""
    sessions = [(session.id.node, session.peer, session.state) for session in status.sessions]
    sessions += [(session.id.node, session.neighbour, session.state) for session in status.gateways]
    sessions += [(session.router, session.neighbour, session.state) for session in routers]
    for node, far, state in sessions:
        if state != ESTABLISHED:
            yield (f"the session of {node} with {far} is down ({state}): routes that it would bring are not predicted.")
    for backend in status.backends:
        if not backend.up:
            yield f"{backend.load_balancer} has not found {backend.backend} up; it is predicted as up."


def _limits(prediction: Prediction) -> Iterator[str]:
    """Sessions that a limit would end [gateway-to-circuit-limit]: what the edge router would keep counts."""
    speakers = prediction.after.speakers
    for instance, router in speakers.adj_ribs_in.edges:
        count = accepted_from_gateway(speakers, instance, router)
        if circuit_drops_gateway(count):
            yield (
                f"{instance.node} would advertise {count:,} prefixes to {router} that it accepts; more than "
                f"{GATEWAY_TO_CIRCUIT_ROUTES:,} end the session. What follows from that is not predicted."
            )


def _cut_off(lab: Lab, prediction: Prediction) -> Iterator[str]:
    """NVAs that would no longer reach their route server, or what they track."""
    before, after = predicted(lab, prediction.before), predicted(lab, prediction.after)

    def loses(nva: str, address: IPv4Address) -> bool:
        had, has = (all(way.delivered for way in reach.ways(nva, address)) for reach in (before, after))
        return had and not has

    for server in prediction.after.azure.route_servers:
        for peer in server.peers:
            for address in server.instances if peer.kind is PeerKind.NVA and peer.name in lab.nva else ():
                if loses(peer.name, address):
                    yield (
                        f"{peer.name} would no longer reach {address} of {server.name}, and its session would end. "
                        "What follows from that is not predicted."
                    )
    for nva in lab.nvas:
        if nva.tracks is not None and any(way.delivered for way in before.ways(nva.name, nva.tracks)):
            lost = [way for way in after.ways(nva.name, nva.tracks) if not way.delivered]
            if lost:
                yield (
                    f"{nva.name} would no longer reach {nva.tracks}, which it tracks ({lost[0]}), and would withdraw "
                    "what it advertises. What follows from that is not predicted."
                )


def _unconfigured(customers: CustomerRouters, prediction: Prediction) -> Iterator[str]:
    """Peers that would be created, and that no router of the lab file is configured for."""
    known = {(s.neighbour.name, s.neighbour.own, customers.routers[s.router].asn) for s in customers.sessions}
    before = {(server.name, peer) for server in prediction.before.azure.route_servers for peer in server.peers}
    for server in prediction.after.azure.route_servers:
        for peer in server.peers:
            configured = (server.instance_ids[0].node, peer.address, peer.asn) in known
            if (server.name, peer) not in before and not configured:
                yield (
                    f"the lab file configures no router with AS {peer.asn} at {peer.address} for a session with "
                    f"{server.name}: the session of the peering {peer.name} is assumed to stay down."
                )


def _unknown(prediction: Prediction) -> Iterator[str]:
    """Routers outside Azure of which it is not known what they will advertise."""
    prefixes: dict[tuple[str, str], list[str]] = {}
    for each in prediction.unknown:
        prefixes.setdefault((each.router, each.neighbour), []).append(str(each.prefix))
    for (router, neighbour), found in prefixes.items():
        yield (
            f"{router} would receive other routes, but what it advertises to {neighbour} of {listed(found)} is not "
            "what the lab file makes it advertise: it is assumed to keep advertising that."
        )
