"""The node of a network virtual appliance."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Interface

from labkit.azure.rules.firewalls import PRIVATE
from labkit.daemons.speaker import CustomerSpeaker
from labkit.lab import model
from labkit.lab.model import Lab, Snat
from labkit.lab.plan.common import Planned, interface_up, nftables, platform_channel, tunnel
from labkit.lab.plan.model import Node, Role
from labkit.lab.plan.nic_tables import nic_rules
from labkit.lab.plan.own_router import own_node, route_commands, variables
from labkit.lab.plan.router_node import router_node, speaker_files
from labkit.lab.plan.speakers import nva_speaker, overlays, static_router
from labkit.lab.plan.tunnels import tunnel_commands
from labkit.lab.plan.wires import Wiring


def nva_node(lab: Lab, wiring: Wiring, nva: model.Nva) -> Planned:
    """A network virtual appliance: a router behind its NICs, with a WAN interface to each of its sites."""
    mine = lab.azure.nics_of(nva.name)
    links = [link for link in lab.wan_links if link.router == nva.name]
    ends = overlays(lab, nva)
    bgp = nva.asn is not None
    router = nva_speaker(lab, nva, lab.azure.appliance[nva.name]) if bgp else static_router(lab, nva)
    values = variables(lab, router) if isinstance(router, CustomerSpeaker) and nva.config else None
    files, binds = speaker_files(nva.daemon, router, nva.config, values)
    if bgp:
        keep, channel = platform_channel(nva.name)
        files.append(keep)
        binds.append(channel)
    commands: list[str] = []
    if nva.snat or nva.stateful:
        own = [
            *(address for nic in mine for address in nic.addresses),
            *(link.router_address.ip for link in links),
            *(o.address.ip for o in ends),
            *(vpn.near.address for vpn in lab.tunnels_of(nva.name)),
            *([nva.loopback] if nva.loopback is not None else []),
        ]
        file, bind, load = nftables(
            nva.name,
            "nftables-nva.conf.j2",
            sources=[
                (nic.interface if len(mine) > 1 else "", nic.address, () if nva.snat[nic.name] is Snat.ALL else PRIVATE)
                for nic in mine
                if nic.name in nva.snat
            ],
            own=own,
            stateful=nva.stateful,
        )
        files.append(file)
        binds.append(bind)
        commands.append(load)
    commands += wiring.up(nva.name)
    commands += interface_up("lo", IPv4Interface(nva.loopback)) if nva.loopback is not None else ()
    commands += nic_rules(mine) if nva.name in lab.policy_routed else ()
    for overlay in ends:
        commands.append(tunnel(overlay.interface, overlay.vni, overlay.nic.address, overlay.sent_to))
        commands += interface_up(overlay.interface, overlay.address)
    for vpn in lab.tunnels_of(nva.name):
        commands += tunnel_commands(lab, vpn)
    if nva.container is not None:
        return Planned(own_node(nva.name, nva.container, [*commands, *route_commands(router)]))  # no file is for it
    node = router_node(lab, nva.name, nva.daemon, Role.NVA, binds, commands, bgp=bgp)
    return Planned(node if nva.tracks is None else _tracking(lab, node, nva), tuple(files))


def _tracking(lab: Lab, router: Node, nva: model.Nva) -> Node:
    """The NVA's router with its tracker in addition to the daemon."""
    env = {
        "LABKIT_DAEMON": nva.daemon,
        "LABKIT_TRACK": str(nva.tracks),
        "LABKIT_TRACK_ASN": str(nva.asn),
        "LABKIT_TRACK_PREFIXES": " ".join(map(str, lab.azure.appliance[nva.name].advertises)),
    }
    return replace(router, services=(*router.services, "tracker"), env={**router.env, **env})
