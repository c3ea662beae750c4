"""Where ExaBGP's wire is other than Azure's, or than an RFC has it: mended here, in its own process.

What and why is in docs/exabgp.md, "What labkit mends in it".
"""

from __future__ import annotations

from exabgp.bgp.message.open.capability.capabilities import Capabilities
from exabgp.bgp.message.open.capability.capability import Capability
from exabgp.bgp.message.open.capability.negotiated import Negotiated
from exabgp.bgp.message.open.capability.refresh import RouteRefresh
from exabgp.configuration.neighbor import Neighbor
from exabgp.protocol.family import AFI, SAFI
from exabgp.rib.change import Change
from exabgp.rib.incoming import IncomingRIB

_IPV4_UNICAST = (AFI.ipv4, SAFI.unicast)


def mend() -> None:
    """Replace what is to be otherwise; to be called before ExaBGP's server runs."""
    Capabilities._refresh = _route_refresh
    Negotiated._negotiate = _negotiate
    IncomingRIB.update_cache = _keep_ipv4


def _route_refresh(capabilities: Capabilities, neighbor: Neighbor) -> None:
    """ExaBGP offers enhanced route refresh (RFC 7313) with route refresh; Azure does not [bgp-capabilities]."""
    if neighbor["capability"]["route-refresh"]:
        capabilities[Capability.CODE.ROUTE_REFRESH] = RouteRefresh()


_negotiate_as_exabgp = Negotiated._negotiate


def _negotiate(negotiated: Negotiated) -> None:
    """A peer without the multiprotocol capability exchanges IPv4 unicast routes (RFC 4760 §8); ExaBGP sends it none."""
    _negotiate_as_exabgp(negotiated)
    if not negotiated.received_open.capabilities.announced(Capability.CODE.MULTIPROTOCOL):
        negotiated.families = [_IPV4_UNICAST]


_keep_as_exabgp = IncomingRIB.update_cache


def _keep_ipv4(rib: IncomingRIB, change: Change) -> None:
    """No IPv6 routes, which a route server does not use and none of its limits counts."""
    if change.nlri.family().afi_safi() == _IPV4_UNICAST:
        _keep_as_exabgp(rib, change)
