"""Which of several paths for a prefix wins inside a route server."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from ipaddress import IPv4Address

from labkit.azure.model import Assumptions, HubRoutingPreference, LearnedRoute, PeerKind, VpnNvaTie

_AS_TODAY = Assumptions()
_LAST = {VpnNvaTie.SHARED: None, VpnNvaTie.VPN: PeerKind.NVA, VpnNvaTie.NVA: PeerKind.VPN_GATEWAY}


class Loss(StrEnum):
    """Why a path for a prefix is not in use."""

    PREFERENCE = "the hub routing preference prefers others"
    AS_PATH = "its AS path is longer"
    EXPRESSROUTE_TIE = "ExpressRoute wins equal AS paths"
    VPN_NVA_TIE = "of VPN and NVA paths of equal length the other kind wins"
    ONE_CONNECTION = "with a route server only one ExpressRoute connection is used"
    SAME_NEXT_HOP = "its next hop is in use already"


def best(
    paths: Sequence[LearnedRoute],
    preference: HubRoutingPreference,
    assumptions: Assumptions = _AS_TODAY,
    *,
    beside_route_server: bool = True,
) -> tuple[LearnedRoute, ...]:
    """All paths that tie for best, one for each next hop: what a NIC programs. The first is `best_path`.

    First by preference [prefer-expressroute, prefer-vpn, prefer-as-path], then by AS path length, an AS_SET being one
    hop [vpn-nva-equal, active-passive]; every NVA path of equal length is programmed [nva-ecmp]. MED, weight and ORIGIN
    play no role [no-med]. Without a route server all equal ExpressRoute paths are used. Whether one alone is where
    gateway and route server share a virtual network [one-expressroute-connection], whether ExpressRoute wins a tie
    under `ASPath` [as-path-tie-expressroute], and who wins between VPN and NVA paths of equal length [vpn-nva-tie], is
    assumed.

    The result does not depend on the order of `paths`. It is empty exactly when `paths` is.
    """
    if len(paths) <= 1:
        return tuple(paths)
    ranked = sorted((_rank(p, preference, assumptions), *_tie_break(p), i) for i, p in enumerate(paths))
    top = ranked[0][0]
    by_next_hop: dict[IPv4Address, LearnedRoute] = {}
    over_expressroute = False
    for path in (paths[entry[-1]] for entry in ranked if entry[0] == top):
        alone = beside_route_server and assumptions.one_expressroute_connection
        if path.peer.kind is PeerKind.EXPRESSROUTE_GATEWAY and alone:
            if over_expressroute:
                continue
            over_expressroute = True
        by_next_hop.setdefault(path.attributes.next_hop, path)
    return tuple(by_next_hop.values())


def judged(
    paths: Sequence[LearnedRoute],
    preference: HubRoutingPreference,
    assumptions: Assumptions = _AS_TODAY,
    *,
    beside_route_server: bool = True,
) -> tuple[tuple[LearnedRoute, Loss | None], ...]:
    """Every path, and why it is not among the `best`; None for these, which come first."""
    winners = best(paths, preference, assumptions, beside_route_server=beside_route_server)
    losers = sorted(
        (path for path in paths if path not in winners),
        key=lambda path: (_rank(path, preference, assumptions), _tie_break(path)),
    )
    return (
        *((path, None) for path in winners),
        *((path, _loss(path, winners, preference, assumptions)) for path in losers),
    )


def _loss(
    loser: LearnedRoute,
    winners: Sequence[LearnedRoute],
    preference: HubRoutingPreference,
    assumptions: Assumptions,
) -> Loss:
    lost, won = (_rank(path, preference, assumptions) for path in (loser, winners[0]))
    if lost == won:
        used = any(loser.attributes.next_hop == winner.attributes.next_hop for winner in winners)
        return Loss.SAME_NEXT_HOP if used else Loss.ONE_CONNECTION
    if lost[:2] == won[:2]:
        return Loss.VPN_NVA_TIE
    by_length = preference is HubRoutingPreference.AS_PATH
    if lost[0] != won[0]:
        return Loss.AS_PATH if by_length else Loss.PREFERENCE
    return Loss.EXPRESSROUTE_TIE if by_length else Loss.AS_PATH


def best_path(
    paths: Sequence[LearnedRoute], preference: HubRoutingPreference, assumptions: Assumptions = _AS_TODAY
) -> LearnedRoute | None:
    """The one path that is advertised [one-best-path], or None without paths.

    Of tied paths it is the one from the peer with the lowest address [lowest-address], and it makes both instances
    agree, which an order of arrival would not.
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


def _tie_break(path: LearnedRoute) -> tuple[int, str, int, int]:
    """A gateway alone has several paths of its own: by the edge that it sends by itself first."""
    return int(path.peer.address), path.peer.name, path.attributes.med or 0, int(path.attributes.next_hop)
