"""From a checked lab file and its addresses to a `Lab`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from itertools import count

from labkit.azure import model as azure
from labkit.azure.model import InstanceId
from labkit.azure.rules.addressing import GATEWAY_SUBNET
from labkit.lab import model, proofs
from labkit.lab.addressing import Addresses
from labkit.lab.draft import Draft
from labkit.lab.file import schema
from labkit.lab.file.schema_captures import CaptureProof
from labkit.lab.plan.nodes import NIC

HOST_SUFFIX = "-host"
_GATEWAY_KINDS = {
    schema.GatewayType.EXPRESSROUTE: azure.PeerKind.EXPRESSROUTE_GATEWAY,
    schema.GatewayType.VPN: azure.PeerKind.VPN_GATEWAY,
}
NOWHERE = IPv4Address(0)
"""The instances of a route server or a gateway that has no subnet to stand in, until its file is mended."""

_TYPES = {
    str(t).casefold(): t for t in (azure.NextHopType.INTERNET, azure.NextHopType.VNET_LOCAL, azure.NextHopType.NONE)
}


NEXT_HOPS = "Write Internet, VnetLocal, None, or the name or address of an appliance."


def next_hop_type(text: str) -> azure.NextHopType | None:
    """The next hop type that a route of a route table names; None if the text must be a name or an address."""
    return _TYPES.get(text.casefold())


def no_next_hop(text: str) -> tuple[str, str] | None:
    """Why one of Azure's next hop types can't stand in a route here, and the remedy; None for any other text."""
    kind = next((t for t in azure.NextHopType if t.casefold() == text.casefold()), None)
    if kind is None or next_hop_type(text) is not None:
        return None
    if kind is azure.NextHopType.VIRTUAL_APPLIANCE:
        return f"{text} alone can't be a next hop", "Write the appliance's name or address."
    if kind is azure.NextHopType.VIRTUAL_NETWORK_GATEWAY:
        why = f"{text} can't be a next hop here: labkit has no user-defined routes to gateways"
        return why, "Let the gateway's own routes lead there, or write the name or address of an appliance."
    return f"{text} can't be a next hop: peerings bring their routes by themselves", NEXT_HOPS


def address_of(text: str) -> IPv4Address | None:
    """The address that a text is, if it is one."""
    try:
        return IPv4Address(text)
    except AddressValueError:
        return None


def peer_names(server: schema.RouteServer) -> tuple[str, ...]:
    """The names of a route server's peers, in order."""
    return tuple(name for peer in server.peers for name in peer)


def connected(one: schema.Nva | schema.Gateway | schema.Circuit) -> tuple[str, ...]:
    """The names of what an NVA, a gateway or a circuit connects to, in order."""
    return tuple(name for connection in one.connects_to for name in connection)


def side_is(option: tuple[str, ...] | bool, side: str) -> bool:
    """Whether an option of a peering is set on this side."""
    return option if isinstance(option, bool) else side in option


def build(draft: Draft, addresses: Addresses) -> model.Lab:
    """The lab of a draft without errors. Everything it refers to is known to exist."""
    file = draft.file
    nvas = tuple(
        model.Nva(
            name=name,
            asn=nva.asn,
            advertises=nva.advertises,
            snat=nva.snat,
            timers=model.BgpTimers(nva.timers.keepalive, nva.timers.hold),
            prepend=nva.prepend,
            as_override=nva.as_override,
            strip_route_server_asn=nva.strip_route_server_asn,
            requires_policy=nva.requires_policy,
            ebgp_multihop=nva.ebgp_multihop,
            stateful=nva.stateful,
            communities=nva.communities,
            next_hop=_next_hop(addresses, nva.next_hop),
            tracks=_tracked(file, addresses, nva.tracks),
            peers_with=tuple(r for r, server in file.route_servers.items() if name in peer_names(server)),
        )
        for name, nva in file.nvas.items()
    )
    sites = tuple(
        model.Site(
            name,
            site.asn,
            addresses.lans[name],
            model.SiteHost(name + HOST_SUFFIX, addresses.hosts[name]),
            dict(site.prepend),
        )
        for name, site in file.sites.items()
    )
    links = tuple(
        model.WanLink(name, site, *addresses.wan[name, site])
        for _, name, connections in file.wan()
        for connection in connections
        for site in connection
    )
    return model.Lab(
        name=file.name,
        azure=build_azure(draft, addresses),
        nvas=nvas,
        overlays=tuple(
            model.Overlay((name, other), addresses.wan[name, other], vni)
            for vni, (name, other) in enumerate(
                ((name, other) for name, nva in file.nvas.items() for link in nva.overlays for other in link), 1
            )
        ),
        gateways=tuple(_gateways(file, addresses)),
        sites=sites,
        wan_links=links,
        internet=_internet(file, addresses),
        virtual_machines=tuple(model.VirtualMachine(name) for name in file.virtual_machines),
        proofs=tuple(_proof(draft, i, proof) for i, proof in enumerate(file.proofs)),
        variant=draft.source.variant,
    )


def _gateways(file: schema.LabFile, addresses: Addresses) -> Iterator[model.Gateway]:
    vnis = count(1 + sum(len(nva.overlays) for nva in file.nvas.values()))
    for name, gateway in file.gateways.items():
        lines: list[model.Line] = []
        tunnels: list[model.Tunnel] = []
        for connection in gateway.connects_to:
            for remote, options in connection.items():
                said = options or schema.GatewayConnection()
                if remote in file.circuits:
                    lines += (model.Line(i, remote, edge) for i, edge in enumerate(addresses.edges[name, remote]))
                    continue
                ranges = said.remote_prefixes or file.virtual_networks[gateway.virtual_network].address_space
                far = addresses.lans[remote][0].ip
                tunnels += (
                    model.Tunnel(i, remote, far, next(vnis), said.bgp, () if said.bgp else ranges)
                    for i in range(gateway.instance_count)
                )
        timers = model.BgpTimers(gateway.timers.keepalive, gateway.timers.hold)
        yield model.Gateway(name, tuple(lines), tuple(tunnels), timers)


def _next_hop(addresses: Addresses, said: str | None) -> IPv4Address | None:
    """The address that an NVA's `next_hop` stands for."""
    return None if said is None else address_of(said) or addresses.next_hops.get(said)


def _tracked(file: schema.LabFile, addresses: Addresses, target: str | None) -> IPv4Address | None:
    """The address that an NVA's `tracks` stands for."""
    if target is None:
        return None
    if target in file.sites:
        return addresses.hosts[target].ip
    internet = _internet(file, addresses)
    return internet.host if internet is not None and target == internet.name else IPv4Address(target)


def build_azure(draft: Draft, addresses: Addresses) -> azure.Azure:
    """The Azure objects of a draft. What refers to something that is not there is left out."""
    file = draft.file
    networks = file.virtual_networks
    nics = addresses.nics
    machines = schema.machines(file)
    return azure.Azure(
        virtual_networks=tuple(
            azure.VirtualNetwork(
                name,
                network.address_space,
                tuple(azure.Subnet(s, subnet.prefix, subnet.route_table) for s, subnet in network.subnets.items()),
            )
            for name, network in networks.items()
        ),
        peerings=tuple(
            direction
            for peering in file.peerings
            if len(networks.keys() & set(peering.between)) == 2
            for direction in _directions(peering)
        ),
        route_tables=tuple(
            azure.RouteTable(
                name,
                tuple(r for prefix, hop in table.routes.items() for r in _user_route(prefix, hop, addresses.next_hops)),
                table.disable_bgp_route_propagation,
            )
            for name, table in file.route_tables.items()
        ),
        nics=(
            *(
                azure.Nic(name, name, NIC, found[0], found[1], nics[name], addresses.macs[name], machine.ip_forwarding)
                for name, machine in machines.items()
                if (found := draft.subnet(machine.subnet)) is not None and name in nics
            ),
            *_gateway_nics(draft, addresses),
        ),
        route_servers=tuple(
            azure.RouteServer(
                name=name,
                virtual_network=server.virtual_network,
                instances=addresses.instances.get(name, (NOWHERE, NOWHERE)),
                peers=tuple(p for peer in server.peers for n, o in peer.items() for p in _peer(file, n, o, nics)),
                branch_to_branch=server.branch_to_branch,
                hub_routing_preference=server.hub_routing_preference,
                own_ranges=server.own_ranges,
                routes_per_peer=server.routes_per_peer,
                total_prefixes=server.total_prefixes,
                assumptions=azure.Assumptions(**file.assumptions.model_dump()),
            )
            for name, server in file.route_servers.items()
            if server.virtual_network in networks
        ),
        gateways=tuple(
            azure.Gateway(
                name,
                gateway.virtual_network,
                _GATEWAY_KINDS[gateway.type],
                addresses.gateways.get(name, (NOWHERE,) * gateway.instance_count),
                asn=gateway.asn,
                active_active=gateway.instance_count > 1,
            )
            for name, gateway in file.gateways.items()
            if gateway.virtual_network in networks
        ),
        circuits=tuple(
            azure.Circuit(name, file.sites[site].asn, circuit.premium)
            for name, circuit in file.circuits.items()
            for site in connected(circuit)[:1]
            if site in file.sites
        ),
        connections=tuple(
            azure.Connection(f"{name}-{remote}", name, remote)
            for name, gateway in file.gateways.items()
            for remote in connected(gateway)
            if gateway.virtual_network in networks and (remote in file.circuits or remote in file.sites)
        ),
        local_network_gateways=tuple(_local_network_gateways(file)),
        load_balancers=tuple(
            azure.LoadBalancer(
                name,
                found[0],
                found[1],
                addresses.frontends[name],
                tuple(b for b in balancer.backends if b in nics and draft.subnet(machines[b].subnet) is not None),
                azure.Probe(balancer.probe.port, balancer.probe.interval, balancer.probe.count),
            )
            for name, balancer in file.load_balancers.items()
            if (found := draft.subnet(balancer.subnet)) is not None and name in addresses.frontends
        ),
    )


def _local_network_gateways(file: schema.LabFile) -> Iterator[azure.LocalNetworkGateway]:
    """Each site as VPN gateways know it: by its prefixes, or by its ASN where they speak BGP with it."""
    connections = [
        (remote, options or schema.GatewayConnection())
        for gateway in file.gateways.values()
        for connection in gateway.connects_to
        for remote, options in connection.items()
    ]
    for name, site in file.sites.items():
        found = [options.bgp for remote, options in connections if remote == name]
        if found:
            yield azure.LocalNetworkGateway(name, () if all(found) else site.prefixes, site.asn if any(found) else None)


def _gateway_nics(draft: Draft, addresses: Addresses) -> Iterator[azure.Nic]:
    """The NICs of gateways' instances, which no user of Azure ever sees, named like the instances' nodes."""
    for name, instances in addresses.gateways.items():
        network = draft.file.gateways[name].virtual_network
        for index, address in enumerate(instances):
            node = InstanceId(name, index).node
            if draft.subnet(f"{network}/{GATEWAY_SUBNET}") is not None:
                yield azure.Nic(
                    node, node, NIC, network, GATEWAY_SUBNET, address, addresses.macs[node], ip_forwarding=True
                )


def _directions(peering: schema.Peering) -> tuple[azure.Peering, azure.Peering]:
    one, two = peering.between
    return _direction(peering, one, two), _direction(peering, two, one)


def _direction(peering: schema.Peering, local: str, remote: str) -> azure.Peering:
    return azure.Peering(
        local=local,
        remote=remote,
        use_remote_gateways=side_is(peering.use_remote_gateways, local),
        allow_gateway_transit=side_is(peering.allow_gateway_transit, local),
        allow_forwarded_traffic=side_is(peering.allow_forwarded_traffic, local),
        is_global=peering.is_global,
    )


def _user_route(prefix: IPv4Network, hop: str, next_hops: Mapping[str, IPv4Address]) -> Iterator[azure.UserRoute]:
    kind = next_hop_type(hop)
    address = address_of(hop) or next_hops.get(hop)
    if kind is not None:
        yield azure.UserRoute(prefix, kind)
    elif address is not None:
        yield azure.UserRoute(prefix, azure.NextHopType.VIRTUAL_APPLIANCE, address)


def _peer(
    file: schema.LabFile, name: str, options: schema.PeerOptions | None, nics: Mapping[str, IPv4Address]
) -> Iterator[azure.BgpPeer]:
    said = options or schema.PeerOptions()
    address = said.address if said.address is not None else nics.get(name)
    if name in file.nvas and address is not None:
        yield azure.BgpPeer(name, said.asn if said.asn is not None else file.nvas[name].asn, address)


def _internet(file: schema.LabFile, addresses: Addresses) -> model.Internet | None:
    if file.internet is None or addresses.internet_host is None:
        return None
    legs = tuple(model.InternetLeg(network, addresses.legs[network]) for network in file.virtual_networks)
    return model.Internet("internet", file.internet.prefix, addresses.internet_host, legs, addresses.public)


def _proof(draft: Draft, position: int, proof: schema.Proof) -> proofs.Proof:
    ((key, stated),) = schema.claims(proof).items()
    if isinstance(stated, schema.Rows):
        ((_, denied),) = schema.claims(stated).items()
        row = _claim(draft.file, denied)
        assert not isinstance(row, proofs.Path | proofs.TableProof | proofs.Capture)
        claim: proofs.Claim | proofs.Absent = proofs.Absent(row)
    else:
        claim = _claim(draft.file, stated)
    return proofs.Proof(claim, draft.line(("proofs", position, key)), proof.within)


def _claim(file: schema.LabFile, claim: schema.Claim) -> proofs.Claim:
    match claim:
        case schema.SessionProof():
            return proofs.Session(claim.on, claim.with_)
        case schema.LearnedRouteProof():
            return proofs.LearnedRoute(claim.on, claim.prefix, claim.from_, claim.as_path)
        case schema.AdvertisedRouteProof():
            return proofs.AdvertisedRoute(claim.by, claim.to, claim.prefix, claim.as_path)
        case schema.EffectiveRouteProof():
            return proofs.EffectiveRoute(claim.on, claim.prefix, claim.type and str(claim.type), claim.via)
        case schema.LearnedRoutesProof():
            return proofs.LearnedRoutes(claim.on, claim.from_, claim.rows)
        case schema.AdvertisedRoutesProof():
            return proofs.AdvertisedRoutes(claim.by, claim.to, claim.rows)
        case schema.EffectiveRoutesProof():
            return proofs.EffectiveRoutes(claim.on, claim.rows)
        case CaptureProof():
            table = proofs.table_of(claim.table)
            assert table is not None  # it is checked
            deviations = tuple(proofs.Deviation(d.because, d.azure, d.here) for d in claim.otherwise)
            return proofs.Capture(table, claim.source, claim.rows, deviations)
        case schema.KernelRouteProof():
            return proofs.KernelRoute(claim.on, claim.prefix, claim.via)
        case schema.PingProof():
            return proofs.Ping(_source(file, claim.from_), address_of(claim.to) or claim.to)
        case schema.PathProof():
            to = address_of(claim.to) or claim.to
            return proofs.Path(_source(file, claim.from_), to, claim.through, claim.never)


def _source(file: schema.LabFile, name: str) -> str:
    # Packets of a site come from its host, as they go to it; the router's own would come from its WAN address.
    return name + HOST_SUFFIX if name in file.sites else name
