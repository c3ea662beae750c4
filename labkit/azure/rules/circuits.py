"""What Microsoft's edge routers (MSEE) do where an ExpressRoute circuit ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from labkit.azure.model import AsPath, Gateway, PathAttributes
from labkit.azure.rules.acceptance import Rejection, RejectionReason
from labkit.azure.rules.asn import MICROSOFT_ASN, is_private
from labkit.azure.rules.communities import may_be_advertised


@dataclass(frozen=True, slots=True)
class CircuitPath:
    """A path in a circuit's edge router. `gateway` names its sender, None for the customer's edge."""

    gateway: str | None
    address: IPv4Address
    attributes: PathAttributes


def circuit_rejection(path: CircuitPath) -> Rejection | None:
    """Why a circuit's edge router drops a path that it received, or None if it accepts it.

    12076 in the path of a gateway's route is a loop: what another circuit brought and NVAs carried over does not get
    into this one [circuit-loop]. From customers it is accepted (allowas-in) [msee-allowas-in].
    """
    if path.gateway is not None and any(
        MICROSOFT_ASN in (hop if isinstance(hop, frozenset) else (hop,)) for hop in path.attributes.as_path
    ):
        return Rejection(RejectionReason.LOOP, f"its path already contains {MICROSOFT_ASN}, the edge router's own ASN")
    return None


def best_in_circuit(paths: Sequence[CircuitPath]) -> tuple[CircuitPath, ...]:
    """The paths with the shortest AS path, and of these the best ORIGIN, all in use; the first is advertised.

    The edge router sees the prepends that it hides from customers, so they decide between gateways on one circuit
    [msee-prepends]. Nothing is known of ORIGIN there: it counts as everywhere in BGP (RFC 4271 §9.1.2.2). Between
    equals the lowest address comes first, by our inference [circuit-ecmp].

    The result does not depend on the order of `paths`.
    """
    best = min(map(_rank, paths), default=None)
    winners = (p for p in paths if _rank(p) == best)
    return tuple(sorted(winners, key=lambda p: (int(p.address), p.gateway or "")))


def advertised_to_customer(path: CircuitPath, address: IPv4Address) -> PathAttributes | None:
    """What the edge router at `address` advertises to the customer for its best path; None if nothing.

    Private ASNs are stripped, 65515 with them: on-premises sees 12076, and no NVA's prepends
    [msee-strips-private]. Communities and ORIGIN stay [relay-community-to-sites, origin-kept]. The customer's own
    routes do not go back.
    """
    if path.gateway is None or not may_be_advertised(path.attributes, ebgp=True):
        return None
    return _edge_advertises(path.attributes, address, _without_private(path.attributes.as_path))


def advertised_to_gateway(gateway: Gateway, path: CircuitPath, address: IPv4Address) -> PathAttributes | None:
    """What the edge router at `address` advertises to a gateway for its best path; None if nothing.

    The customer's routes arrive as `12076 <customer>`. The gateway's ASN in a path is replaced by 12076
    (as-override), so that another virtual network's arrive as `12076 12076` [msee-as-override]. A gateway's own
    routes do not go back to it.
    """
    if path.gateway == gateway.name or not may_be_advertised(path.attributes, ebgp=True):
        return None
    return _edge_advertises(path.attributes, address, _overridden(path.attributes.as_path, gateway.asn))


def _rank(path: CircuitPath) -> tuple[int, int]:
    return len(path.attributes.as_path), path.attributes.origin.rank


def _edge_advertises(attributes: PathAttributes, address: IPv4Address, as_path: AsPath) -> PathAttributes:
    return replace(attributes, next_hop=address, as_path=(MICROSOFT_ASN, *as_path), med=None)


def _without_private(as_path: AsPath) -> AsPath:
    public: list[int | frozenset[int]] = []
    for hop in as_path:
        if isinstance(hop, frozenset):
            rest = frozenset(asn for asn in hop if not is_private(asn))
            if rest:
                public.append(rest)
        elif not is_private(hop):
            public.append(hop)
    return tuple(public)


def _overridden(as_path: AsPath, old: int) -> AsPath:
    return tuple(
        frozenset(MICROSOFT_ASN if asn == old else asn for asn in hop)
        if isinstance(hop, frozenset)
        else (MICROSOFT_ASN if hop == old else hop)
        for hop in as_path
    )
