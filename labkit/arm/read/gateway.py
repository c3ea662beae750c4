"""Virtual network gateways with their connections, circuits, and the sites at the far ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from labkit.arm.ids import ResourceId
from labkit.arm.read.fields import Fields
from labkit.arm.read.reading import Reading
from labkit.azure.model import ROUTE_SERVER_ASN
from labkit.azure.rules.addressing import GATEWAY_SUBNET
from labkit.lab.file.yaml_source import Data

SUPPLIED_PREFIX = "192.0.2.0/24"
"""What lies at a site of which no resource has a prefix: a documentation range (RFC 5737)."""

SUPPLIED_INTERNET = "198.51.100.0/24"
"""The range of the Internet of a lab that needs one."""


@dataclass
class Outside:
    """What gateways lead to: the sections `gateways`, `circuits` and `sites`, and whether tunnels need an Internet."""

    gateways: dict[str, Data] = field(default_factory=dict)
    circuits: dict[str, Data] = field(default_factory=dict)
    sites: dict[str, Data] = field(default_factory=dict)
    tunnels: bool = False


def outside(reading: Reading, nvas: dict[str, Data]) -> Outside:
    """Gateways, and what they lead to."""
    found = Outside(sites=dict(reading.section("sites")))
    for name, resource, properties in reading.of_type("expressRouteCircuits"):
        found.circuits[name] = _circuit(reading, name, resource.extra, properties, found)
    connections = {
        name: [fields for _, _, fields in reading.of_type("connections") if _is_of(reading, fields, name)]
        for name, _, _ in reading.of_type("virtualNetworkGateways")
    }
    named: set[frozenset[str]] = set()
    for name, resource, fields in reading.of_type("virtualNetworkGateways"):
        network = _network(reading, fields)
        if network is None:
            reading.leave_out(resource.id, "its GatewaySubnet is unknown", "Nothing of what it leads to is in the lab.")
            continue
        kind = fields.text("gatewayType")
        keys: dict[str, Data] = {"type": kind, "virtual_network": network}
        remotes: list[Data] = []
        for connection in connections[name]:
            remote = _remote(reading, name, connection, nvas, found)
            if remote is not None and frozenset((name, remote)) not in named:
                named.add(frozenset((name, remote)))
                options = _options(reading, name, remote, connection)
                remotes.append({remote: options} if options else remote)
        if remotes:
            keys["connects_to"] = _in_order(reading, name, remotes)
        settings = fields.part("bgpSettings")
        instances = _instances(settings)
        if kind.casefold() == "vpn":
            found.tunnels = found.tunnels or bool(remotes)
            if fields.flag("activeActive", False):
                keys["active_active"] = "true"
            if settings.has("asn") and settings.number("asn") != ROUTE_SERVER_ASN:
                keys["asn"] = str(settings.number("asn"))
        if instances:
            keys["instances"] = [str(address) for address in instances]
        timers = reading.known("gateways", name).get("timers")
        found.gateways[name] = {**keys, **({"timers": timers} if timers is not None else {})}
    return found


def _is_of(reading: Reading, connection: Fields, gateway: str) -> bool:
    return reading.name(connection.required("virtualNetworkGateway1")) == gateway


def _network(reading: Reading, fields: Fields) -> str | None:
    for part in fields.parts("ipConfigurations"):
        subnet = part.reference("subnet")
        place = reading.subnet(subnet) if subnet is not None else None
        if place is not None:
            return place[0]
    places = (reading.subnet_with(address, GATEWAY_SUBNET) for address in _instances(fields.part("bgpSettings")))
    return next((place[0] for place in places if place is not None), None)


def _instances(settings: Fields) -> list[IPv4Address]:
    """The addresses of a gateway's instances, as far as they are known."""
    found = [a for part in settings.parts("bgpPeeringAddresses") for a in part.addresses("defaultBgpIpAddresses")[:1]]
    if found or not settings.has("bgpPeeringAddress"):
        return found
    try:
        return [IPv4Address(text) for text in settings.text("bgpPeeringAddress").split(",")]
    except ValueError:
        raise settings.wrong("bgpPeeringAddress", "addresses with commas between") from None


def _circuit(reading: Reading, name: str, extra: object, fields: Fields, found: Outside) -> dict[str, Data]:
    sku = extra.get("sku") if isinstance(extra, dict) else None
    premium = isinstance(sku, dict) and str(sku.get("tier", "")).casefold() == "premium"
    keys: dict[str, Data] = {"premium": "true"} if premium else {}
    if name in reading.section("circuits"):
        return {**reading.known("circuits", name), **keys}
    id_ = ResourceId.parse(fields.where)
    peering = next(
        (
            Fields.of(child)
            for child in reading.bag.children_of(id_, "peerings")
            if Fields.of(child).text("peeringType") == "AzurePrivatePeering"
        ),
        None,
    )
    if peering is None or not peering.has("peerASN"):
        return keys
    site = f"{name}-onprem"
    found.sites[site] = {"asn": str(peering.number("peerASN")), "prefixes": SUPPLIED_PREFIX}
    reading.remarks["sites", site] = f"Supplied, with {SUPPLIED_PREFIX}: no resource has what lies behind {name}."
    return {"connects_to": [site], "edges": "2", **keys}


def _remote(reading: Reading, gateway: str, connection: Fields, nvas: dict[str, Data], found: Outside) -> str | None:
    """What a connection leads to, by its name in the lab; None if it is not there."""
    id_ = ResourceId.parse(connection.where)
    for key in ("peer", "virtualNetworkGateway2"):
        other = connection.reference(key)
        if other is not None:
            name = reading.name(other)
            if name is None:
                reason = f"{other.name}, to which it leads, is not among the resources"
                reading.leave_out(id_, reason, "What lies behind it is not in the lab.")
            return name
    local = connection.reference("localNetworkGateway2")
    if local is None or local not in reading.bag:
        reading.leave_out(id_, "what it leads to is not among the resources", "What lies behind it is not in the lab.")
        return None
    device = _device(reading, gateway, local.name)
    if device is not None and (device in nvas or device in found.sites or device in reading.section("gateways")):
        return device
    if local.name not in found.sites:
        _site(reading, local, connection.flag("enableBgp", False), found)
    return local.name


def _device(reading: Reading, gateway: str, name: str) -> str | None:
    """What a local network gateway of a lab's own export is for. References may be in any case."""
    device = name.removeprefix(f"{gateway}-")
    known = {_machine_key(remote) for remote, _ in _known_remotes(reading, gateway)}
    return device if device != name and _machine_key(device) in known else None


def _machine_key(remote: str) -> str:
    """By what a machine, or a NIC of it, is known whatever its case."""
    return remote.partition("/")[0].casefold()


def _known_remotes(reading: Reading, gateway: str) -> list[tuple[str, dict[str, Data]]]:
    """What a gateway's entry names, as far as Azure does not know it, with its options."""
    listed = reading.known("gateways", gateway).get("connects_to")
    entries = [listed] if isinstance(listed, str) else listed if isinstance(listed, list) else []
    pairs: list[tuple[str, dict[str, Data]]] = []
    for each in entries:
        if isinstance(each, str):
            pairs.append((each, {}))
        elif isinstance(each, dict):
            pairs += [(name, dict(options) if isinstance(options, dict) else {}) for name, options in each.items()]
    return pairs


def _site(reading: Reading, id_: ResourceId, bgp: bool, found: Outside) -> None:
    """A site for a customer's VPN device."""
    fields = Fields.of(reading.bag[id_])
    settings = fields.part("bgpSettings")
    prefixes = [p for p in fields.part("localNetworkAddressSpace").prefixes("addressPrefixes") if p.prefixlen <= 29]
    if not prefixes:
        reading.remarks["sites", id_.name] = f"{SUPPLIED_PREFIX} is supplied: no resource has what lies there."
        prefixes = [IPv4Network(SUPPLIED_PREFIX)]
    asn = settings.number("asn") if settings.has("asn") and bgp else 65010
    listed: Data = [str(prefix) for prefix in prefixes] if len(prefixes) > 1 else str(prefixes[0])
    found.sites[id_.name] = {"asn": str(asn), "prefixes": listed}


def _options(reading: Reading, gateway: str, remote: str, connection: Fields) -> dict[str, Data]:
    """The options of a connection: what its resource has, and what Azure does not know of it."""
    known = next(
        (options for name, options in _known_remotes(reading, gateway) if _machine_key(name) == _machine_key(remote)),
        None,
    )
    options = {k: v for k, v in (known or {}).items() if k not in {"bgp", "routing_weight"}}
    express = connection.reference("peer") is not None
    if not express and not connection.flag("enableBgp", False):
        options["bgp"] = "false"
    if express and connection.number("routingWeight", 0):
        options["routing_weight"] = str(connection.number("routingWeight"))
    local = connection.reference("localNetworkGateway2")
    if known is None and local is not None and local in reading.bag and "bgp" not in options:
        settings = Fields.of(reading.bag[local]).part("bgpSettings")
        if settings.has("bgpPeeringAddress"):
            options["bgp_peering_address"] = str(settings.address("bgpPeeringAddress"))
    return options


def _in_order(reading: Reading, gateway: str, remotes: list[Data]) -> list[Data]:
    """In the order, and with the names, of the lab's own file, where it has them."""
    known = {_machine_key(name): name for name, _ in _known_remotes(reading, gateway)}
    order = {name: number for number, name in enumerate(known)}

    def name_of(entry: Data) -> str:
        return next(iter(entry)) if isinstance(entry, dict) else str(entry)

    ordered = sorted(remotes, key=lambda entry: order.get(_machine_key(name_of(entry)), len(order)))
    return [
        {known.get(_machine_key(name_of(e)), name_of(e)): e[name_of(e)]}
        if isinstance(e, dict)
        else known.get(_machine_key(str(e)), e)
        for e in ordered
    ]
