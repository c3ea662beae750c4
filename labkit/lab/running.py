"""A running lab under change: its nodes and links stay as they were built. Pure.

What the lab has no node or link for can't be made by a change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

from labkit.azure.changes import outcome, refusal
from labkit.azure.changes.appliances import SetExportPolicy, appliance_of
from labkit.azure.changes.base import Change
from labkit.azure.changes.names import as_known
from labkit.azure.changes.outcome import ChangeOutcome
from labkit.azure.model import Azure, BgpPeer, Connection, Gateway, Nic
from labkit.azure.model.problem import Code, Problem
from labkit.azure.rules.adjacency import connected_peerings
from labkit.errors import InvalidInput
from labkit.lab.model import Lab
from labkit.lab.plan.speakers import nva_speaker
from labkit.names import meant


def carry_out(lab: Lab, azure: Azure, changes: Iterable[Change]) -> ChangeOutcome:
    """Make changes of a running lab whose Azure is `azure`, all of them or none.

    Raises:
        InvalidInput: the lab has no node or link for one of them, what it changes does not exist, or Azure would
            refuse the outcome.
    """
    changes = [with_receivers(lab, azure, c) if isinstance(c, SetExportPolicy) else c for c in changes]
    return outcome.carry_out(azure, changes, partial(as_built, lab))


def with_receivers(lab: Lab, azure: Azure, change: SetExportPolicy) -> SetExportPolicy:
    """The export policy with its receivers as the lab has them.

    Raises:
        InvalidInput: a rule is for somebody with whom the NVA has no session.
    """
    appliance = appliance_of(azure, change.nva)
    peers = {neighbour.peer for neighbour in nva_speaker(lab, lab.nva[appliance.name], appliance).neighbours}

    def peer(name: str) -> str:
        found = meant(name, peers)
        if found is None:
            remedy = f"It has: {', '.join(sorted(peers))}."
            raise InvalidInput(f"{appliance.name} has no BGP session with {name}.", remedy)
        return found

    exports = (r if r.to is None else replace(r, to=tuple(map(peer, r.to))) for r in change.exports)
    return replace(change, exports=tuple(exports))


def applied(lab: Lab, azure: Azure, changes: Iterable[Change]) -> Azure:
    """A model of a running lab with changes that were accepted before: nothing is judged again.

    Raises:
        InvalidInput: what one of them changes does not exist.
    """
    for change in changes:
        azure = as_built(lab, as_known(change, azure).apply(azure))
    return azure


def cautions(lab: Lab, before: Azure, after: Azure) -> Iterator[tuple[str, str]]:
    """What changes of a running lab bring that Azure takes although it does not work: each as text and remedy."""
    for problem in refusal.cautions(before, after):
        if problem.code is not Code.NIC_NOT_FORWARDING or before.nic[problem.subjects[0]].machine not in lab.nva:
            yield f"{problem.text}.", refusal.remedy(problem)
    for nic in (nic for nva in lab.nva for nic in after.nics_of(nva)):
        if before.nic[nic.name].ip_forwarding and not nic.ip_forwarding:
            text = f"IP forwarding is off on {_nic_text(nic)}, which drops whatever the NVA forwards."
            yield text, refusal.remedy(Problem(Code.NIC_NOT_FORWARDING, text, (nic.name,)))
    known = set(_other_asns(lab, before))
    for server, peer in _other_asns(lab, after):
        if (server, peer) not in known:
            own = lab.nva[peer.name].asn
            text = (
                f"peer {peer.name} of {server} is expected to have ASN {peer.asn}, and the NVA has {own or 'no BGP'}."
            )
            why = "an OPEN with another ASN is refused" if own is not None else "nothing there opens or accepts one"
            yield text, f"Its sessions stay down: {why}."


def _nic_text(nic: Nic) -> str:
    return f"{nic.machine}'s NIC" if nic.name == nic.machine else f"NIC {nic.name}"


def _other_asns(lab: Lab, azure: Azure) -> Iterator[tuple[str, BgpPeer]]:
    """Peers of the name of an NVA that are expected to have another ASN than it."""
    for server in azure.route_servers:
        yield from (
            (server.name, peer) for peer in server.peers if peer.name in lab.nva and lab.nva[peer.name].asn != peer.asn
        )


def as_built(lab: Lab, azure: Azure) -> Azure:
    """The model with what only building a lab decides: instances, limits and assumptions, global peerings.

    Raises:
        InvalidInput: the lab has no nodes for a route server, or no link for a peering; or an NVA with a router of the
            user's own would advertise something else.
    """
    built = lab.azure.route_server
    for server in azure.route_servers:
        there = built.get(server.name)
        if there is None or (there.virtual_network, there.instances) != (server.virtual_network, server.instances):
            where = f" in {there.virtual_network}" if there is not None else ""
            raise InvalidInput(
                f"the lab has no nodes for a route server {server.name} in {server.virtual_network}.",
                f"It has: {server.name}{where}." if where else f"Its file declares: {', '.join(built) or 'none'}.",
            )
    for peering in azure.peerings:
        linked = [p.remote for p in connected_peerings(lab.azure, peering.local)]
        if peering.remote not in linked:
            raise InvalidInput(
                f"the lab has no link between {peering.local} and {peering.remote}.",
                f"The lab file links {peering.local} to: {', '.join(linked) or 'none'}.",
            )
    gateways = tuple(_built_gateway(lab, gateway) for gateway in azure.gateways)
    connections = tuple(_built_connection(lab, connection) for connection in azure.connections)
    for nva in lab.nvas:
        if nva.own_router and azure.appliance.get(nva.name) != lab.azure.appliance.get(nva.name):
            raise InvalidInput(
                f"{nva.name} {nva.own_router}: what it advertises is not labkit's to change.",
                f"Change it there: labkit shell {nva.name}",
            )
    servers = tuple(
        replace(
            built[server.name],
            peers=server.peers,
            branch_to_branch=server.branch_to_branch,
            hub_routing_preference=server.hub_routing_preference,
        )
        for server in azure.route_servers
    )
    sides = {(p.local, p.remote): p.is_global for p in lab.azure.peerings}
    peerings = tuple(replace(p, is_global=sides[p.local, p.remote]) for p in azure.peerings)
    instances = {i.node for gateway in azure.gateways for i in gateway.instance_ids}
    nics = tuple(azure.nic.get(nic.name, nic) for nic in lab.azure.nics if nic.name in {*azure.nic, *instances})
    return replace(
        azure, route_servers=servers, peerings=peerings, connections=connections, nics=nics, gateways=gateways
    )


def _built_connection(lab: Lab, connection: Connection) -> Connection:
    """A connection with what only building a lab decides.

    Raises:
        InvalidInput: the lab has no line or tunnels for it, or it needs an authorization.
    """
    known = {each.name: each for each in lab.azure.connections}
    there = known.get(connection.name)
    if there is None or (there.gateway, there.remote) != (connection.gateway, connection.remote):
        raise InvalidInput(
            f"the lab has no line and no tunnel for a connection of {connection.gateway} to {connection.remote}.",
            f"Its file declares: {', '.join(known) or 'none'}.",
        )
    if there.authorization and not connection.authorization:
        raise InvalidInput(
            f"{connection.remote} is a circuit of another subscription than {connection.gateway}.",
            "The connection has to redeem an authorization: labkit gateway connection create --authorization NAME",
        )
    return replace(there, authorization=connection.authorization)


def _built_gateway(lab: Lab, gateway: Gateway) -> Gateway:
    """A gateway with what only building a lab decides; it may have one of two instances.

    Raises:
        InvalidInput: the lab has no nodes for it.
    """
    there, count = lab.azure.gateway.get(gateway.name), len(gateway.instances)
    kept = (gateway.virtual_network, gateway.kind, gateway.asn, gateway.instances)
    if there is None or kept != (there.virtual_network, there.kind, there.asn, there.instances[:count]):
        raise InvalidInput(
            f"the lab has no nodes for a gateway {gateway.name} like this.",
            f"Its file declares: {', '.join(lab.azure.gateway) or 'none'}.",
        )
    return replace(
        there,
        instances=gateway.instances,
        active_active=gateway.active_active,
        public_addresses=there.public_addresses[:count],
    )
