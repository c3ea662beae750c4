"""Resource ids: `/subscriptions/…/resourceGroups/…/providers/Microsoft.Network/virtualNetworks/v/subnets/s`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from labkit.errors import InvalidInput

NETWORK = "Microsoft.Network"

_TYPES = (
    "Microsoft.Compute/virtualMachines",
    "Microsoft.Network/azureFirewalls",
    "Microsoft.Network/connections",
    "Microsoft.Network/expressRouteCircuits",
    "Microsoft.Network/expressRouteCircuits/authorizations",
    "Microsoft.Network/expressRouteCircuits/peerings",
    "Microsoft.Network/loadBalancers",
    "Microsoft.Network/localNetworkGateways",
    "Microsoft.Network/networkInterfaces",
    "Microsoft.Network/networkSecurityGroups",
    "Microsoft.Network/networkSecurityGroups/securityRules",
    "Microsoft.Network/publicIPAddresses",
    "Microsoft.Network/routeTables",
    "Microsoft.Network/routeTables/routes",
    "Microsoft.Network/virtualHubs",
    "Microsoft.Network/virtualHubs/bgpConnections",
    "Microsoft.Network/virtualHubs/ipConfigurations",
    "Microsoft.Network/virtualNetworkGateways",
    "Microsoft.Network/virtualNetworks",
    "Microsoft.Network/virtualNetworks/subnets",
    "Microsoft.Network/virtualNetworks/virtualNetworkPeerings",
    "Microsoft.Resources/deployments",
)
CANONICAL_TYPES = {name.lower(): name for name in _TYPES}
"""The types that labkit knows, in Azure's spelling, by their names in lower case."""

_ID = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)"
    r"/providers/(?P<provider>[^/]+)/(?P<rest>[^/]+/[^/]+(?:/[^/]+/[^/]+)*)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, eq=False)
class ResourceId:
    """The id of a resource. Two that differ in upper and lower case alone are the same one.

    `type` has its provider in front; `names` has a name for each of its segments after that.
    """

    subscription: str
    group: str
    type: str
    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> ResourceId:
        """An id as ARM writes it; a known type gets Azure's spelling.

        Raises:
            InvalidInput: it is not the id of a resource in a resource group.
        """
        found = _ID.fullmatch(text.rstrip("/"))
        if found is None:
            shown = text if len(text) <= 200 else f"{text[:200]}…"
            raise InvalidInput(
                f'"{shown}" is not a resource id',
                "Write it as /subscriptions/ID/resourceGroups/GROUP/providers/Microsoft.Network/TYPE/NAME.",
            )
        rest = found["rest"].split("/")
        return cls.of(found["subscription"], found["group"], "/".join([found["provider"], *rest[::2]]), *rest[1::2])

    @classmethod
    def of(cls, subscription: str, group: str, type_: str, *names: str) -> ResourceId:
        """The id of a resource of this type; a known type gets Azure's spelling."""
        return cls(subscription, group, CANONICAL_TYPES.get(type_.lower(), type_), names)

    @property
    def name(self) -> str:
        """The resource's own name: the last one."""
        return self.names[-1]

    @property
    def parent(self) -> ResourceId | None:
        """The id of the resource that it is a child of; None for one of the top level."""
        if len(self.names) < 2:
            return None
        return ResourceId.of(self.subscription, self.group, self.type.rpartition("/")[0], *self.names[:-1])

    def child(self, kind: str, name: str) -> ResourceId:
        """The id of a child, `kind` being the last segment of its type."""
        return ResourceId.of(self.subscription, self.group, f"{self.type}/{kind}", *self.names, name)

    def __str__(self) -> str:
        provider, *kinds = self.type.split("/")
        path = "/".join(part for pair in zip(kinds, self.names, strict=True) for part in pair)
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}/providers/{provider}/{path}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ResourceId) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> str:
        return str(self).lower()
