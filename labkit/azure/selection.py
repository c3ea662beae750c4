"""Which of several paths for a prefix wins inside a route server (reference §4.1 steps 2 and 3)."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

from labkit.azure.model import Assumptions, HubRoutingPreference, LearnedRoute, PeerKind, VpnNvaTie

_AS_TODAY = Assumptions()
_LAST = {VpnNvaTie.SHARED: None, VpnNvaTie.VPN: PeerKind.NVA, VpnNvaTie.NVA: PeerKind.VPN_GATEWAY}


def best(
    paths: Sequence[LearnedRoute],
    preference: HubRoutingPreference,
    assumptions: Assumptions = _AS_TODAY,
    *,
    beside_route_server: bool = True,
) -> tuple[LearnedRoute, ...]:
    """All paths that tie for best, one for each next hop: what a NIC programs. The first is `best_path`.

    Reference §4.1: step 2 ranks by preference and AS path length, an AS_SET being one hop; step 3 programs every
    equal-length NVA path. MED, weight and origin play no role. ER paths never tie: with a gateway beside the route
    server one ER connection is used (TRB; catalogue row 20); without a route server all equal ones are. Whether ER wins
    a tie under `ASPath` (step 3, VHRP), and who wins between VPN and NVA paths of equal length (§11.3), is assumed.

    The result does not depend on the order of `paths`. It is empty exactly when `paths` is.
    """
    if len(paths) <= 1:
        return tuple(paths)
    ranked = sorted((_rank(p, preference, assumptions), *_tie_break(p), i) for i, p in enumerate(paths))
    top = ranked[0][0]
    by_next_hop: dict[IPv4Address, LearnedRoute] = {}
    over_expressroute = False
    for path in (paths[entry[-1]] for entry in ranked if entry[0] == top):
        if path.peer.kind is PeerKind.EXPRESSROUTE_GATEWAY and beside_route_server:
            if over_expressroute:
                continue
            over_expressroute = True
        by_next_hop.setdefault(path.attributes.next_hop, path)
    return tuple(by_next_hop.values())


def best_path(
    paths: Sequence[LearnedRoute], preference: HubRoutingPreference, assumptions: Assumptions = _AS_TODAY
) -> LearnedRoute | None:
    """The one path that is advertised (reference §3.2 "Multipath"), or None without paths.

    Of tied paths it is the one from the peer with the lowest address: seen in CASC (reference §5, "the lower address
    won"), and it makes both instances agree, which an order of arrival would not.
    """
    winners = best(paths, preference, assumptions)
    return winners[0] if winners else None


def _rank(path: LearnedRoute, preference: HubRoutingPreference, assumptions: Assumptions) -> tuple[int, int, bool]:
    """The smaller, the better; ExpressRoute's place in it is all that the preference changes."""
    length = len(path.attributes.as_path)
    is_expressroute = path.peer.kind is PeerKind.EXPRESSROUTE_GATEWAY
    last = path.peer.kind is _LAST[assumptions.vpn_nva_tie]
    match preference:
        case HubRoutingPreference.EXPRESSROUTE:
            return 0 if is_expressroute else 1, length, last
        case HubRoutingPreference.VPN_GATEWAY:
            return 1 if is_expressroute else 0, length, last
        case HubRoutingPreference.AS_PATH:
            return length, 0 if is_expressroute and assumptions.expressroute_wins_ties else 1, last


def _tie_break(path: LearnedRoute) -> tuple[int, str, int]:
    return int(path.peer.address), path.peer.name, int(path.attributes.next_hop)
