"""JSON of resources: ARM's own, with `properties`, and what `az` prints, flattened; into resources and back.

Both come with children within their parents. Nulls are left out: az prints one for whatever is not there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from labkit.arm.ids import CANONICAL_TYPES, ResourceId
from labkit.arm.resource import Bag, Json, Resource
from labkit.errors import InvalidInput


class UnknownType(InvalidInput):
    """A resource of a type that labkit does not know; `type` is its name."""

    def __init__(self, type_: str, where: str) -> None:
        super().__init__(
            f"{where}: resources of type {type_} are unknown to labkit",
            f"It knows {', '.join(sorted(name.rpartition('/')[2] for name in CANONICAL_TYPES.values()))}.",
        )
        self.type = type_


@dataclass(frozen=True, slots=True)
class _Children:
    """Children of a type: the property of the parent that lists them, and whether a GET has more of them than ids."""

    kind: str
    whole: bool = True


CHILDREN: Mapping[str, tuple[_Children, ...]] = {
    "Microsoft.Network/virtualNetworks": (_Children("subnets"), _Children("virtualNetworkPeerings")),
    "Microsoft.Network/routeTables": (_Children("routes"),),
    "Microsoft.Network/virtualHubs": (
        _Children("ipConfigurations", whole=False),
        _Children("bgpConnections", whole=False),
    ),
    "Microsoft.Network/expressRouteCircuits": (_Children("peerings"), _Children("authorizations")),
    "Microsoft.Network/networkSecurityGroups": (_Children("securityRules"),),
}
"""The children of each type that has some. The property that lists them is the last segment of their type."""

PARTS = frozenset(
    {
        "backendAddressPools",
        "delegations",
        "frontendIPConfigurations",
        "inboundNatPools",
        "inboundNatRules",
        "ipConfigurations",
        "loadBalancingRules",
        "managementIpConfiguration",
        "networkRuleCollections",
        "natRuleCollections",
        "applicationRuleCollections",
        "outboundRules",
        "probes",
        "serviceEndpointPolicies",
        "defaultSecurityRules",
        "natRules",
        "networkInterfaces",
    }
)
"""Properties whose values are parts with `properties` of their own, though no resources of the bag."""

_TOP = {name.lower(): name for name in ("sku", "zones", "kind", "identity", "plan", "extendedLocation")}
_HEAD = frozenset({"id", "name", "type", "location", "tags", "etag", "properties", "resourcegroup", "resourceguid"})
_PART_HEAD = frozenset({"id", "name", "type", "etag", "zones", "properties", "resourcegroup"})
_SKU_IS_A_PROPERTY = frozenset(
    {"Microsoft.Network/azureFirewalls", "Microsoft.Network/virtualHubs", "Microsoft.Network/virtualNetworkGateways"}
)
_SPELLING = {
    name.lower(): name
    for name in (
        *PARTS,
        *(children.kind for group in CHILDREN.values() for children in group),
        "enableIPForwarding",
        "frontendIPConfiguration",
        "ipAddress",
        "peerASN",
        "privateIPAddress",
        "privateIPAllocationMethod",
        "publicIPAddress",
        "publicIPAllocationMethod",
        "publicIPAddressVersion",
        "virtualRouterAsn",
        "virtualRouterIps",
    )
}
"""ARM's spelling of properties of which versions of az have others that differ in upper and lower case."""

_PEER_ASN = {"Microsoft.Network/virtualHubs/bgpConnections": {"peerasn": "peerAsn"}}


def resources_of(body: Json, where: str, id_: ResourceId | None = None) -> tuple[Resource, ...]:
    """A resource as ARM or az has it, and the children within it; the resource itself comes first.

    `where` is the place of the JSON, for messages; `id_` is the resource's id, if the body may lack it, as that of a
    PUT does. Children without an id get theirs from their parent and their name.

    Raises:
        UnknownType: the resource's type is not one of labkit's.
        InvalidInput: the JSON is not a resource.
    """
    mapping = _mapping(body, where)
    if id_ is None:
        id_ = ResourceId.parse(_text(mapping.get("id"), f"{where}, id"))
    if id_.type not in CANONICAL_TYPES.values():
        raise UnknownType(id_.type, where)
    return tuple(_resources(mapping, id_, where))


def as_arm(bag: Bag, resource: Resource) -> dict[str, Json]:
    """A resource as a GET shows it: with etag, `provisioningState` and its children.

    Of a hub's children it has the ids alone, as Azure does.
    """
    properties: dict[str, Json] = dict(resource.properties)
    properties.setdefault("provisioningState", "Succeeded")
    for children in CHILDREN.get(resource.id.type, ()):
        found = bag.children_of(resource.id, children.kind)
        properties[children.kind] = [as_arm(bag, c) if children.whole else {"id": str(c.id)} for c in found]
    body: dict[str, Json] = {"id": str(resource.id), "name": resource.id.name, "type": resource.id.type}
    if resource.location is not None:
        body["location"] = resource.location
    if resource.tags:
        body["tags"] = dict(resource.tags)
    body |= resource.extra
    body["properties"] = properties
    body["etag"] = f'W/"{hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:32]}"'
    return body


def as_az(bag: Bag, resource: Resource) -> dict[str, Json]:
    """A resource as `az … show` prints it: its properties one level up, in the order of their names."""
    flat = _flat(as_arm(bag, resource))
    assert isinstance(flat, dict)
    return flat


def _flat(value: Json) -> Json:
    if isinstance(value, list):
        return [_flat(item) for item in value]
    if not isinstance(value, dict):
        return value
    properties = value.get("properties")
    above = {k: v for k, v in value.items() if k != "properties"} if isinstance(properties, dict) else value
    merged = {**above, **(properties if isinstance(properties, dict) else {})}
    id_ = value.get("id")
    if isinstance(id_, str) and "/resourceGroups/" in id_:
        merged["resourceGroup"] = id_.split("/resourceGroups/")[1].partition("/")[0]
    return {key: merged[key] if key == "tags" else _flat(merged[key]) for key in sorted(merged)}


def _resources(body: Mapping[str, Json], id_: ResourceId, where: str) -> Iterator[Resource]:
    where = f"{where}: {id_.name}"
    kinds = [children.kind for children in CHILDREN.get(id_.type, ())]
    properties = _properties(body, _HEAD, id_.type, where)
    children = {kind: properties.pop(kind) for kind in kinds if kind in properties}
    extra = {_TOP[k.lower()]: v for k, v in body.items() if k.lower() in _TOP and v is not None}
    if id_.type in _SKU_IS_A_PROPERTY and "properties" not in body and "sku" in extra:
        properties["sku"] = extra.pop("sku")
    location, tags = body.get("location"), body.get("tags")
    yield Resource(
        id_,
        _text(location, f"{where}, location") if location is not None else None,
        {k: _text(v, f"{where}, tags") for k, v in _mapping(tags, f"{where}, tags").items()} if tags else {},
        properties,
        extra,
    )
    for kind, values in children.items():
        for index, value in enumerate(_list(values, f"{where}, {kind}")):
            place = f"{where}, {kind}[{index}]"
            item = _mapping(value, place)
            if set(item) - {"id", "resourceGroup"}:
                yield from _resources(item, _child_id(id_, kind, item, place), where)


def _child_id(parent: ResourceId, kind: str, item: Mapping[str, Json], where: str) -> ResourceId:
    name = _text(item.get("name"), f"{where}, name")
    if "/" in name:
        raise InvalidInput(f'{where}, name: "{name}" has a slash', "Azure's names have none.")
    return parent.child(kind, name)


def _properties(body: Mapping[str, Json], head: frozenset[str], type_: str, where: str) -> dict[str, Json]:
    """The properties of a body of either shape, in ARM's shape and spelling."""
    raw = body.get("properties")
    values: Mapping[str, Json]
    if raw is None:
        top = _TOP if head is _HEAD else {}
        values = {k: v for k, v in body.items() if k.lower() not in head and k.lower() not in top}
    else:
        values = _mapping(raw, f"{where}, properties")
    own = _PEER_ASN.get(type_, {})
    kinds = {children.kind for children in CHILDREN.get(type_, ())}
    found: dict[str, Json] = {}
    for key, value in values.items():
        name = own.get(key.lower()) or _SPELLING.get(key.lower(), key)
        if value is not None:
            found[name] = value if name in kinds else _clean(name, value, f"{where}, {name}")
    return found


def _clean(name: str, value: Json, where: str) -> Json:
    """A value in ARM's shape, without nulls."""
    if isinstance(value, list):
        return [_clean(name, item, f"{where}[{i}]") for i, item in enumerate(value) if item is not None]
    if not isinstance(value, dict):
        return value
    if name in PARTS and set(value) - {"id", "resourceGroup"}:
        head: dict[str, Json] = {k: v for k, v in value.items() if k in {"id", "name", "zones"} and v is not None}
        return {**head, "properties": dict(_properties(value, _PART_HEAD, "", where))}
    cleaned: dict[str, Json] = {}
    for key, item in value.items():
        if item is not None and not (key == "resourceGroup" and "id" in value):
            spelling = _SPELLING.get(key.lower(), key)
            cleaned[spelling] = _clean(spelling, item, f"{where}.{spelling}")
    return cleaned


def _mapping(value: Json, where: str) -> Mapping[str, Json]:
    if not isinstance(value, dict):
        raise InvalidInput(
            f"{where}: must be an object, and is {_what(value)}", "See what `az … -o json` prints there."
        )
    return value


def _list(value: Json, where: str) -> list[Json]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidInput(f"{where}: must be a list, and is {_what(value)}", "See what `az … -o json` prints there.")
    return value


def _text(value: Json, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"{where}: must be a text, and is {_what(value)}", "See what `az … -o json` prints there.")
    return value


def _what(value: Json) -> str:
    match value:
        case None:
            return "not there"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text" if value else "an empty text"
        case list():
            return "a list"
        case dict():
            return "an object"
