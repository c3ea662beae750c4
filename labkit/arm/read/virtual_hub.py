"""Route servers, and the NVAs that they peer with."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from labkit.arm.ids import ResourceId
from labkit.arm.read.fields import Fields
from labkit.arm.read.machine import Machines, entry
from labkit.arm.read.reading import Reading
from labkit.azure.model import HubRoutingPreference
from labkit.azure.rules.addressing import ROUTE_SERVER_SUBNET
from labkit.lab.file.yaml_source import Data

PLACEHOLDER = "Placeholder: Azure knows its address and ASN alone. Add what it advertises."


@dataclass(frozen=True, slots=True)
class Peer:
    """A bgpConnection of a route server; `instances` are that one's addresses."""

    server: str
    name: str
    asn: int
    address: IPv4Address
    instances: tuple[IPv4Address, ...]


def peers(reading: Reading) -> list[Peer]:
    """The bgpConnections of all route servers."""
    return [
        Peer(name, child.id.name, fields.number("peerAsn"), fields.address("peerIp"), instances)
        for name, resource, hub in reading.of_type("virtualHubs")
        for instances in [tuple(hub.addresses("virtualRouterIps"))]
        for child in reading.bag.children_of(resource.id, "bgpConnections")
        for fields in [Fields.of(child)]
    ]


def nvas(reading: Reading, machines: Machines, found_peers: list[Peer]) -> dict[str, Data]:
    """The section `nvas`: known ones, peers of route servers, and machines that forward."""
    by_address = {address: (name, nic) for name, nics in machines.items() for nic in nics for address in nic.addresses}
    asns = {by_address[p.address][0]: p.asn for p in found_peers if p.address in by_address}
    found: dict[str, Data] = {}
    for name, nics in machines.items():
        known = reading.known("nvas", name)
        if name in reading.section("nvas"):
            found[name] = {**entry(nics, known, forwards=True), **{k: v for k, v in known.items() if k != "nics"}}
        elif name not in reading.section("virtual_machines") and (name in asns or any(n.ip_forwarding for n in nics)):
            asn: dict[str, Data] = {"asn": str(asns[name])} if name in asns else {}
            found[name] = {**entry(nics, {}, forwards=True), **asn}
            if asn:
                reading.remarks["nvas", name] = PLACEHOLDER
    for peer in found_peers:
        place = reading.subnet_with(peer.address)
        if peer.address not in by_address and peer.name not in found and place is not None:
            found[peer.name] = {"subnet": "/".join(place), "address": str(peer.address), "asn": str(peer.asn)}
            reading.remarks["nvas", peer.name] = f"{PLACEHOLDER} No NIC of it was among the resources."
    return found


def route_servers(
    reading: Reading, machines: Machines, found_nvas: dict[str, Data], found_peers: list[Peer]
) -> dict[str, Data]:
    """The section `route_servers`."""
    found: dict[str, Data] = {}
    for name, resource, fields in reading.of_type("virtualHubs"):
        if fields.has("virtualWan"):
            reading.leave_out(resource.id, "it is a hub of Virtual WAN", "Nothing of that hub's routing is in the lab.")
            continue
        network = _network(reading, resource.id, fields)
        if network is None:
            reading.leave_out(resource.id, "its RouteServerSubnet is unknown", "The lab has no routes of its peers.")
            continue
        keys: dict[str, Data] = {"virtual_network": network}
        sessions = [_peer(p, machines, found_nvas) for p in found_peers if p.server == name]
        listed: list[Data] = []
        for peer, session in zip([p for p in found_peers if p.server == name], sessions, strict=True):
            if session is None:
                id_ = resource.id.child("bgpConnections", peer.name)
                reading.leave_out(id_, f"no subnet has its address {peer.address}", "Its routes are not in the lab.")
            else:
                listed.append(session)
        if listed:
            keys["peers"] = listed
        if fields.flag("allowBranchToBranchTraffic", False):
            keys["branch_to_branch"] = "true"
        preference = fields.values.get("hubRoutingPreference", str(HubRoutingPreference.EXPRESSROUTE))
        if preference != HubRoutingPreference.EXPRESSROUTE:
            keys["hub_routing_preference"] = fields.text("hubRoutingPreference")
        keys |= reading.known("route_servers", name)
        instances = fields.addresses("virtualRouterIps")
        if len(instances) == 2 and instances != reading.first_of(network, ROUTE_SERVER_SUBNET):
            keys["instances"] = [str(address) for address in instances]
        found[name] = keys
    return found


def _network(reading: Reading, hub: ResourceId, fields: Fields) -> str | None:
    """The virtual network of a route server: by its ipConfiguration, or by its instances' addresses."""
    for child in reading.bag.children_of(hub, "ipConfigurations"):
        subnet = Fields.of(child).reference("subnet")
        place = reading.subnet(subnet) if subnet is not None else None
        if place is not None:
            return place[0]
    places = (reading.subnet_with(address, ROUTE_SERVER_SUBNET) for address in fields.addresses("virtualRouterIps"))
    return next((place[0] for place in places if place is not None), None)


def _peer(peer: Peer, machines: Machines, found_nvas: dict[str, Data]) -> Data:
    """A peer as the list `peers` has it; None if no NVA has its address."""
    for name, nics in machines.items():
        for number, nic in enumerate(nics):
            if peer.address in nic.addresses and name in found_nvas:
                called = name if number == 0 else f"{name}/{nic.name}"
                options: dict[str, Data] = {}
                if nic.addresses[0] != peer.address:
                    options["address"] = str(peer.address)
                return _with_asn(called, options, peer, found_nvas[name])
    if peer.name in found_nvas:
        own = found_nvas[peer.name]
        same = isinstance(own, dict) and own.get("address") == str(peer.address)
        return _with_asn(peer.name, {} if same else {"address": str(peer.address)}, peer, own)
    return None


def _with_asn(called: str, options: dict[str, Data], peer: Peer, nva: Data) -> Data:
    if isinstance(nva, dict) and nva.get("asn") != str(peer.asn):
        options["asn"] = str(peer.asn)
    return {called: options} if options else called
