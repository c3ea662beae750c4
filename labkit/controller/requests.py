"""What operators ask of a running lab's Azure, in the names of Azure's API: each request makes another model. Pure.

What the lab has no node or link for can't be made, and what Azure would refuse is refused whole, before anything is
changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Any

from labkit.azure.changes import edit as changes
from labkit.azure.model import Azure, BgpPeer, HubRoutingPreference, Peering, RouteServer, RouteTable
from labkit.azure.rules.adjacency import connected_peerings
from labkit.azure.rules.validation import azures_own
from labkit.errors import InvalidInput
from labkit.lab.file.problems import listed
from labkit.lab.file.refusal import refuse, refuse_ranges
from labkit.lab.model import Lab
from labkit.lab.route_table import must_be_a_route_table

PEERING_FLAGS = {
    "useRemoteGateways": "use_remote_gateways",
    "allowGatewayTransit": "allow_gateway_transit",
    "allowForwardedTraffic": "allow_forwarded_traffic",
}
"""The switches of a peering's side: Azure's names and the model's."""

AS_IT_WAS = "set again as it was"
"""What a request did that changed nothing."""

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?")


@dataclass(frozen=True, slots=True)
class Request:
    """What a request makes of Azure's objects; the rest is for the event log: what was done to which object."""

    azure: Azure
    kind: str
    subject: str
    what: str


def route_table(azure: Azure, table: RouteTable) -> Request:
    """Another content of a route table."""
    after = changes.with_route_table(azure, table)
    refuse(azure, after)
    what = ", ".join(_table_changes(azure.route_table[table.name], table)) or AS_IT_WAS
    return Request(after, "route-table", table.name, what)


def create_route_table(azure: Azure, table: RouteTable) -> Request:
    """A new route table, which no subnet has yet (`az network route-table create`).

    Raises:
        InvalidInput: there is one of this name, it can't be called so, or Azure would refuse it.
    """
    _must_be_a_name(table.name, "a route table")
    if table.name in azure.route_table:
        raise InvalidInput(f"route table {table.name} is there.", "Change it: labkit route-table add, remove or update")
    after = changes.with_route_table(azure, table)
    refuse(azure, after)
    return Request(after, "route-table", table.name, "created: no subnet has it yet")


def delete_route_table(azure: Azure, name: str) -> Request:
    """No such route table any more (`az network route-table delete`).

    Raises:
        InvalidInput: there is none of this name, or Azure would refuse it, since a subnet has it.
    """
    must_be_a_route_table(name, azure)
    users = changes.subnets_with(azure, name)
    if users:
        remedy = f"Take it away there first: labkit route-table dissociate {users[0]}"
        text = f"Azure would refuse that: route table {name} is in use by {listed(users)} and can't be deleted."
        raise InvalidInput(text, remedy)
    return Request(changes.without_route_table(azure, name), "route-table", name, "deleted")


def associate(azure: Azure, network: str, subnet: str, said: Any) -> Request:
    """Another route table for a subnet, or none (`az network vnet subnet update --route-table`).

    Raises:
        InvalidInput: there is no such subnet or table, what is said is neither, or Azure would refuse it.
    """
    _known_network(azure, network)
    subnets = {s.name: s for s in azure.virtual_network[network].subnets}
    if subnet not in subnets:
        raise InvalidInput(
            f"virtual network {network} has no subnet {subnet}.", f"Its subnets are: {', '.join(subnets) or 'none'}."
        )
    table = said.get("routeTable") if isinstance(said, dict) else said
    if not isinstance(said, dict) or said.keys() != {"routeTable"} or not isinstance(table, str | None):
        raise InvalidInput("this is no route table of a subnet.", "It has: routeTable, a name or null.")
    if table is not None:
        must_be_a_route_table(table, azure)
    before = subnets[subnet].route_table
    after = changes.with_association(azure, network, subnet, table)
    refuse(azure, after)
    if before == table:
        what = AS_IT_WAS
    elif table is None:
        what = f"has no route table any more (it had {before})"
    else:
        what = f"has route table {table}" + (f" in place of {before}" if before is not None else "")
    return Request(after, "subnet", f"{network}/{subnet}", what)


def server_settings(azure: Azure, server: RouteServer, said: Any) -> Request:
    """Other settings of a route server; what is not said stays (`az network routeserver update`).

    Raises:
        InvalidInput: nothing is said, or something that can't be.
    """
    names = {"allowBranchToBranchTraffic", "hubRoutingPreference"}
    if not isinstance(said, dict) or not said or said.keys() - names:
        raise InvalidInput("these are no settings of a route server.", f"They are: {', '.join(sorted(names))}.")
    switch = said.get("allowBranchToBranchTraffic", server.branch_to_branch)
    preference = said.get("hubRoutingPreference", str(server.hub_routing_preference))
    if not isinstance(switch, bool):
        raise InvalidInput("branch-to-branch is either on or off.", "Say true or false.")
    if preference not in tuple(HubRoutingPreference):
        choices = ", ".join(HubRoutingPreference)
        raise InvalidInput(f"{preference} is no hub routing preference.", f"They are: {choices}.")
    after = replace(server, branch_to_branch=switch, hub_routing_preference=HubRoutingPreference(preference))
    what = ", ".join(_setting_changes(server, after)) or AS_IT_WAS
    return Request(changes.with_route_server(azure, after), "route-server", server.name, what)


def create_server(azure: Azure, lab: Lab, name: str) -> Request:
    """A route server where a deleted one was, with Azure's defaults and no peers (`az network routeserver create`).

    Raises:
        InvalidInput: it is there, the lab has no instances for it, or Azure would refuse it.
    """
    built = lab.azure.route_server
    if name not in built:
        known = ", ".join(sorted(built)) or "none"
        raise InvalidInput(
            f"the lab has no nodes for a route server {name}.", f"Those that its file declares: {known}."
        )
    if name in azure.route_server:
        raise InvalidInput(f"route server {name} is there.", f"Its peers: labkit route-server peering list {name}")
    after = changes.with_created_route_server(azure, built[name])
    refuse(azure, after)
    return Request(after, "route-server", name, "created")


def delete_server(azure: Azure, server: RouteServer) -> Request:
    """No such route server any more, nor its peers (`az network routeserver delete`)."""
    return Request(changes.without_route_server(azure, server.name), "route-server", server.name, "deleted")


def put_peer(azure: Azure, lab: Lab, server: RouteServer, name: str, said: Any) -> Request:
    """A peer of a route server, new or another (`az network routeserver peering create`).

    What is not said of an NVA of the lab is as the NVA says.

    Raises:
        InvalidInput: what is said is no peer, or Azure would refuse it.
    """
    if not isinstance(said, dict) or said.keys() - {"peerAsn", "peerIp"}:
        raise InvalidInput("this is no peering of a route server.", "It has: peerAsn, peerIp.")
    _must_be_a_name(name, "a peering")
    nva, nic = lab.nva.get(name), azure.nic.get(name)
    asn = said.get("peerAsn", nva.asn if nva is not None else None)
    address = said.get("peerIp", str(nic.address) if nva is not None and nic is not None else None)
    if asn is None or address is None:
        raise InvalidInput(
            f"{name} is no NVA of this lab, so its ASN and its address must be said.", "Say --peer-asn and --peer-ip."
        )
    if isinstance(asn, bool) or not isinstance(asn, int) or not 0 < asn < 1 << 32:
        raise InvalidInput(f"{asn} is no ASN.", "Take a private one, such as 65001.")
    peer = BgpPeer(name, asn, _address(address))
    if (taken := azures_own(azure, peer.address)) is not None:
        raise InvalidInput(f"{peer.address} can't be a peer: {taken}.", "Say the address of an appliance.")
    instances = [i.node for gateway in azure.gateways for i in gateway.instance_ids]
    if name in instances:
        raise InvalidInput(f"{name} is an instance of a gateway.", "Give the peering another name.")
    before = next((p for p in server.peers if p.name == name), None)
    what = f"peering {name} ({peer.address}, AS {peer.asn}) "
    what += "created" if before is None else "changed" if before != peer else AS_IT_WAS
    after = changes.with_route_server(azure, changes.with_peer(server, peer))
    refuse(azure, after)
    return Request(after, "route-server", server.name, what)


def delete_peer(azure: Azure, server: RouteServer, name: str) -> Request:
    """No such peer any more (`az network routeserver peering delete`).

    Raises:
        InvalidInput: there is none of this name.
    """
    names = [peer.name for peer in server.peers]
    if name not in names:
        raise InvalidInput(
            f"route server {server.name} has no peer {name}.", f"Its peers are: {', '.join(names) or 'none'}."
        )
    after = changes.with_route_server(azure, changes.without_peer(server, name))
    return Request(after, "route-server", server.name, f"peering {name} deleted")


def address_space(azure: Azure, network: str, said: Any) -> Request:
    """Another address space of a virtual network (`az network vnet update --address-prefixes`).

    Raises:
        InvalidInput: there is no such network, what is said is no address space, or Azure would refuse it.
    """
    _known_network(azure, network)
    prefixes = said.get("addressPrefixes") if isinstance(said, dict) else None
    if not isinstance(prefixes, list) or not prefixes or len(said) != 1:
        raise InvalidInput("this is no address space.", "It has: addressPrefixes, a list of ranges.")
    ranges = tuple(dict.fromkeys(_range(prefix) for prefix in prefixes))
    refuse_ranges(ranges)
    before = azure.virtual_network[network].address_space
    after = changes.with_address_space(azure, network, ranges)
    refuse(azure, after)
    said_now = " ".join(map(str, ranges))
    what = f"address space {said_now}" if ranges != before else AS_IT_WAS
    return Request(after, "virtual-network", network, what)


def put_peering(azure: Azure, lab: Lab, local: str, remote: str, said: Any) -> Request:
    """A side of a peering, new or with other switches; what is not said is as it was, or Azure's default.

    Raises:
        InvalidInput: the lab has no link between the two, what is said is no peering, or Azure would refuse it.
    """
    _known_network(azure, local)
    _known_network(azure, remote)
    linked = [p.remote for p in connected_peerings(lab.azure, local)]
    if remote not in linked:
        raise InvalidInput(
            f"the lab has no link between {local} and {remote}.",
            f"Those that its file declares for {local}: {', '.join(linked) or 'none'}.",
        )
    if not isinstance(said, dict) or said.keys() - PEERING_FLAGS.keys():
        raise InvalidInput("these are no switches of a peering.", f"They are: {', '.join(PEERING_FLAGS)}.")
    if not all(isinstance(value, bool) for value in said.values()):
        raise InvalidInput("a switch of a peering is either on or off.", "Say true or false.")
    before = peering_side(azure, local, remote)
    built = peering_side(lab.azure, local, remote)
    assert built is not None
    start = before or Peering(local, remote, is_global=built.is_global)
    peering = replace(start, **{PEERING_FLAGS[flag]: value for flag, value in said.items()})
    after = changes.with_peering(azure, peering)
    refuse(azure, after)
    what = "created" if before is None else ", ".join(_flag_changes(before, peering)) or AS_IT_WAS
    if peering_side(azure, remote, local) is None and (before is None or before.disconnected):
        what += ": Initiated until the other side exists"
    return Request(after, "peering", f"{local} to {remote}", what)


def delete_peering(azure: Azure, local: str, remote: str) -> Request:
    """A side of a peering less; the other side carries nothing then.

    Raises:
        InvalidInput: there is no such side.
    """
    if peering_side(azure, local, remote) is None:
        known = ", ".join(f"{p.local} {p.remote}" for p in azure.peerings) or "none"
        raise InvalidInput(f"there is no peering from {local} to {remote}.", f"These are: {known}.")
    what = "deleted" + (": the other side is Disconnected" if peering_side(azure, remote, local) else "")
    return Request(changes.without_peering(azure, local, remote), "peering", f"{local} to {remote}", what)


def peering_side(azure: Azure, local: str, remote: str) -> Peering | None:
    """A side of a peering, if it exists."""
    return next((p for p in azure.peerings if (p.local, p.remote) == (local, remote)), None)


def peering_text(azure: Azure, peering: Peering) -> Mapping[str, object]:
    """A side of a peering as `az network vnet peering show` has it, with its two ends."""
    switches = {flag: getattr(peering, attribute) for flag, attribute in PEERING_FLAGS.items()}
    state = peering_state(azure, peering)
    return {"virtualNetwork": peering.local, "remoteVirtualNetwork": peering.remote, "peeringState": state, **switches}


def peering_state(azure: Azure, peering: Peering) -> str:
    """Azure's `peeringState` of a side."""
    if peering_side(azure, peering.remote, peering.local) is not None:
        return "Connected"
    return "Disconnected" if peering.disconnected else "Initiated"


def _table_changes(before: RouteTable, after: RouteTable) -> Iterator[str]:
    had, has = ({r.prefix: str(r.next_hop or r.next_hop_type) for r in t.routes} for t in (before, after))
    for prefix in sorted(had.keys() | has.keys()):
        if had.get(prefix) != has.get(prefix):
            yield f"route {prefix} {had.get(prefix, '—')} → {has.get(prefix, '—')}"
    if before.disable_bgp_route_propagation != after.disable_bgp_route_propagation:
        yield f"BGP propagation {'off' if after.disable_bgp_route_propagation else 'on'}"


def _setting_changes(before: RouteServer, after: RouteServer) -> Iterator[str]:
    if before.branch_to_branch != after.branch_to_branch:
        yield f"branch-to-branch {'on' if after.branch_to_branch else 'off'}"
    if before.hub_routing_preference != after.hub_routing_preference:
        yield f"hub routing preference {after.hub_routing_preference}"


def _flag_changes(before: Peering, after: Peering) -> Iterator[str]:
    for flag, attribute in PEERING_FLAGS.items():
        if getattr(before, attribute) != getattr(after, attribute):
            yield f"{flag} {'on' if getattr(after, attribute) else 'off'}"


def _must_be_a_name(name: str, what: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} is no name of {what}.", "Use letters, digits, hyphens, underscores and periods, at most 80."
        )


def _known_network(azure: Azure, name: str) -> None:
    if name not in azure.virtual_network:
        known = ", ".join(azure.virtual_network)
        raise InvalidInput(f"there is no virtual network {name}.", f"These are: {known}.")


def _address(text: object) -> IPv4Address:
    try:
        return IPv4Address(text if isinstance(text, str) else "")
    except AddressValueError:
        raise InvalidInput(f"{text} is no IPv4 address.", "Write one such as 10.1.1.4.") from None


def _range(text: object) -> IPv4Network:
    try:
        return IPv4Network(text if isinstance(text, str) else "")
    except ValueError:
        raise InvalidInput(f"{text} is no address range.", "Write one such as 10.1.0.0/16.") from None
