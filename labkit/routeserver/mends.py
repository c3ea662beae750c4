"""Where ExaBGP's wire is other than Azure's, or than an RFC has it: mended here, in its own process.

What and why is in docs/exabgp.md, "What labkit mends in it".
"""

from __future__ import annotations

from exabgp.bgp.message import EOR, Message, Notify
from exabgp.bgp.message.action import Action
from exabgp.bgp.message.direction import Direction
from exabgp.bgp.message.open import Open
from exabgp.bgp.message.open.capability.capabilities import Capabilities
from exabgp.bgp.message.open.capability.capability import Capability
from exabgp.bgp.message.open.capability.negotiated import Negotiated
from exabgp.bgp.message.open.capability.refresh import RouteRefresh
from exabgp.bgp.message.update import Update
from exabgp.bgp.message.update.attribute import Attribute, Attributes
from exabgp.bgp.message.update.attribute.attribute import Discard, TreatAsWithdraw
from exabgp.configuration.neighbor import Neighbor
from exabgp.protocol.family import AFI, SAFI
from exabgp.protocol.ip import NoNextHop
from exabgp.rib.change import Change
from exabgp.rib.incoming import IncomingRIB

_IPV4_UNICAST = (AFI.ipv4, SAFI.unicast)
_CODE, _FLAG = Attribute.CODE, Attribute.Flag

_OF_ONE_AS = {int(_CODE.LOCAL_PREF), int(_CODE.ORIGINATOR_ID), int(_CODE.CLUSTER_LIST)}
_OF_TWO_OCTETS = {int(_CODE.AS4_PATH), int(_CODE.AS4_AGGREGATOR)}
_NEVER_EMPTY = {int(_CODE.AGGREGATOR), *_OF_TWO_OCTETS}
_UNUSED = {_CODE.PMSI_TUNNEL, _CODE.IPV6_EXTENDED_COMMUNITY, _CODE.AIGP, _CODE.BGP_LS, _CODE.BGP_PREFIX_SID}
"""Attributes that ExaBGP decodes and a route server has no use for."""

_ORIGINS = {b"\0", b"\1", b"\2"}
_UNRECOGNIZED_WELL_KNOWN = (3, 2)
_STATE_MACHINE_ERROR = (5, 0)


def mend() -> None:
    """Replace what is to be otherwise; to be called before ExaBGP's server runs."""
    Capabilities._refresh = _route_refresh
    Negotiated._negotiate = _negotiate
    IncomingRIB.update_cache = _keep_ipv4
    _forget_unused_attributes()
    Attributes.DISCARD = (*Attributes.DISCARD, _CODE.AS4_PATH, _CODE.AS4_AGGREGATOR)
    Attributes._parse_one = _parse_one
    Attributes.add = _add
    Update.unpack_message = classmethod(_unpack_update)
    Open.unpack_message = classmethod(_unpack_open)
    # A type of message of a draft, which ExaBGP takes whatever was offered.
    Message.CODE.MESSAGES[:] = [kind for kind in Message.CODE.MESSAGES if kind != Message.CODE.OPERATIONAL]


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


def _forget_unused_attributes() -> None:
    """They are as unknown ones then: passed on if transitive, and never malformed."""
    Attribute.attributes_known[:] = [code for code in Attribute.attributes_known if code not in _UNUSED]
    for key in [key for key in Attribute.registered_attributes if key[0] in _UNUSED]:
        del Attribute.registered_attributes[key]
    for code in _UNUSED & Attributes.representation.keys():
        del Attributes.representation[code]


_parse_one_as_exabgp = Attributes._parse_one


def _parse_one(attributes: Attributes, data: bytes, direction: Direction, negotiated: Negotiated) -> bytes | None:
    """Take one attribute off a received UPDATE's; what is left.

    Passed over are attributes that a peer must not send, right or wrong: LOCAL_PREF, ORIGINATOR_ID and CLUSTER_LIST
    from another AS (RFC 7606 §7), AS4_PATH and AS4_AGGREGATOR from a speaker of four-octet ASNs (RFC 6793 §4.1); and
    those that are malformed by being empty (RFC 6793 §6, RFC 7606 §7.7). An invalid ORIGIN, if it is the first one,
    withdraws (RFC 7606 §7.1).

    Raises:
        Notify: a well-known attribute is not recognized (RFC 4271 §6.3). Passed on as one, it would end other peers'
            sessions.
    """
    head = 4 if data[0] & _FLAG.EXTENDED_LENGTH else 3
    end = head + int.from_bytes(data[2:head], "big")
    if direction == Direction.IN and head <= len(data) and end <= len(data):
        code, external = data[1], negotiated.local_as != negotiated.peer_as
        passed_over = (external and code in _OF_ONE_AS) or (negotiated.asn4 and code in _OF_TWO_OCTETS)
        if passed_over or (code in _NEVER_EMPTY and end == head):
            return data[end:]
        if code == _CODE.ORIGIN and code not in attributes and data[head:end] not in _ORIGINS:
            attributes.add(TreatAsWithdraw())
            return data[end:]
        if not data[0] & _FLAG.OPTIONAL and code not in Attribute.attributes_known:
            raise Notify(*_UNRECOGNIZED_WELL_KNOWN)
    left: bytes | None = _parse_one_as_exabgp(attributes, data, direction, negotiated)
    return left


_add_as_exabgp = Attributes.add


def _add(attributes: Attributes, attribute: Attribute | None, value: bytes | None = None) -> None:
    """Discard is nothing to be added: ExaBGP would report a route that it does not keep in its own Adj-RIB-In."""
    if not isinstance(attribute, Discard):
        _add_as_exabgp(attributes, attribute, value)


_unpack_update_as_exabgp = Update.unpack_message.__func__


def _unpack_update(kind: type[Update], data: bytes, direction: Direction, negotiated: Negotiated) -> Update | EOR:
    """An UPDATE without a mandatory attribute withdraws (RFC 7606 §3 d); ExaBGP keeps and reports a route.

    A missing AS_PATH is an empty one to ExaBGP, and no accepted route of another AS has that.
    """
    update = _unpack_update_as_exabgp(kind, data, direction, negotiated)
    if direction == Direction.IN and isinstance(update, Update):
        announced = [nlri for nlri in update.nlris if nlri.action == Action.ANNOUNCE]
        complete = _CODE.ORIGIN in update.attributes and all(nlri.nexthop is not NoNextHop for nlri in announced)
        if announced and not complete:
            update.attributes.add(TreatAsWithdraw())
    return update


_unpack_open_as_exabgp = Open.unpack_message.__func__


def _unpack_open(
    kind: type[Open], data: bytes, direction: Direction | None = None, negotiated: Negotiated | None = None
) -> Open:
    """A second OPEN in a session ends it (RFC 4271 §8.2.2); ExaBGP passes it over.

    Raises:
        Notify: it is the second, or not valid.
    """
    if negotiated is not None and negotiated.received_open is not None:
        raise Notify(*_STATE_MACHINE_ERROR)
    return _unpack_open_as_exabgp(kind, data, direction, negotiated)
