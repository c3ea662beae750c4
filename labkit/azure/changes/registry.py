"""Every change there is, and lists of them as JSON."""

from __future__ import annotations

from collections.abc import Iterable

from labkit.azure.changes.appliances import SetAdvertisedPrefixes, SetExportPolicy
from labkit.azure.changes.base import Change, Json
from labkit.azure.changes.circuits import CreateAuthorization, DeleteAuthorization
from labkit.azure.changes.firewalls import SetFirewallRules
from labkit.azure.changes.gateways import CreateConnection, CreateGateway, DeleteConnection, DeleteGateway
from labkit.azure.changes.nics import SetIpForwarding
from labkit.azure.changes.route_servers import (
    CreateRouteServer,
    DeletePeer,
    DeleteRouteServer,
    PutPeer,
    SetRouteServerSettings,
)
from labkit.azure.changes.route_tables import (
    AssociateRouteTable,
    DeleteRoute,
    DeleteRouteTable,
    DissociateRouteTable,
    PutRoute,
    PutRouteTable,
)
from labkit.azure.changes.virtual_networks import DeletePeering, PutPeering, SetAddressSpace, SyncPeering
from labkit.errors import InvalidInput

CHANGES: tuple[type[Change], ...] = (
    SetRouteServerSettings,
    CreateRouteServer,
    DeleteRouteServer,
    PutPeer,
    DeletePeer,
    SetAddressSpace,
    PutPeering,
    DeletePeering,
    SyncPeering,
    PutRouteTable,
    DeleteRouteTable,
    PutRoute,
    DeleteRoute,
    AssociateRouteTable,
    DissociateRouteTable,
    SetIpForwarding,
    SetAdvertisedPrefixes,
    SetExportPolicy,
    SetFirewallRules,
    CreateGateway,
    DeleteGateway,
    CreateConnection,
    DeleteConnection,
    CreateAuthorization,
    DeleteAuthorization,
)
"""The closed set of changes. A new one is added here, and docs/api.md is made again: tools/api.py."""

_BY_NAME = {change.__name__: change for change in CHANGES}


def to_json(changes: Iterable[Change]) -> list[dict[str, Json]]:
    """Changes as the API, `labkit changes` and `labkit apply` have them."""
    return [change.to_json() for change in changes]


def from_json(document: Json) -> tuple[Change, ...]:
    """The changes that a document describes.

    Raises:
        InvalidInput: it is not a list of changes; the message names the one that is wrong by its number.
    """
    if not isinstance(document, list):
        raise InvalidInput("this is not a list of changes.", "`labkit changes --format json` prints one.")
    return tuple(_change(number, item) for number, item in enumerate(document, 1))


def _change(number: int, item: Json) -> Change:
    name = item.get("change") if isinstance(item, dict) else None
    if not isinstance(item, dict) or not isinstance(name, str) or name not in _BY_NAME:
        what = "has no valid `change`" if name is None else f"{name} does not exist"
        raise InvalidInput(f"change {number}: {what}.", f"The changes: {', '.join(_BY_NAME)}.")
    try:
        return _BY_NAME[name].from_json({key: value for key, value in item.items() if key != "change"})
    except InvalidInput as wrong:
        raise InvalidInput(f"change {number}: {wrong.message}", wrong.remedy) from None
