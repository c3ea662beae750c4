"""The nodes that route outside Azure: NVAs and sites, and the hosts behind the sites."""

from __future__ import annotations

from dataclasses import replace

from labkit.lab.model import PRIVATE, Lab, Nva, Site
from labkit.lab.plan.common import (
    NET_ADMIN,
    Planned,
    environment,
    interface_up,
    nftables,
    sysctls,
    tunnel,
)
from labkit.lab.plan.model import Node, Role
from labkit.lab.plan.nodes import NIC
from labkit.lab.plan.platform import nics_up
from labkit.lab.plan.router_node import router_node, speaker_files
from labkit.lab.plan.speakers import nva_speaker, overlays, site_speaker
from labkit.lab.plan.tunnels import internet_commands, sites_tunnels, tunnel_commands
from labkit.lab.plan.wires import wan_wires


def plan_nva(lab: Lab, nva: Nva) -> Planned:
    """A network virtual appliance: a router behind one NIC, with a WAN interface to each of its sites."""
    nic = lab.azure.primary_nic(nva.name)
    wires = [w for w in wan_wires(lab) if w.link.router == nva.name]
    ends = overlays(lab, nva)
    files, binds = speaker_files(nva.daemon, nva_speaker(lab, nva))
    commands: list[str] = []
    if nva.snat or nva.stateful:
        file, bind, load = nftables(
            nva.name,
            "nftables-nva.conf.j2",
            address=nic.address,
            own=(nic.address, *(w.link.router_address.ip for w in wires), *(o.address.ip for o in ends)),
            private=PRIVATE,
            snat=nva.snat,
            stateful=nva.stateful,
        )
        files.append(file)
        binds.append(bind)
        commands.append(load)
    commands += nics_up(lab.azure, nva.name)
    for wire in wires:
        commands += interface_up(wire.router_interface, wire.link.router_address)
    for overlay in ends:
        commands.append(tunnel(overlay.interface, overlay.vni, nic.address, lab.azure.nic[overlay.far.name].address))
        commands += interface_up(overlay.interface, overlay.address)
    router = router_node(lab, nva.name, nva.daemon, Role.NVA, binds, commands)
    return Planned(router if nva.tracks is None else _tracking(router, nva), tuple(files))


def plan_site(lab: Lab, site: Site) -> Planned:
    """A site's router: between its LAN and the NVAs, circuits and VPN gateways it is linked to."""
    wires = [w for w in wan_wires(lab) if w.link.site == site.name]
    tunnels = tuple(sites_tunnels(lab, site.name))
    files, binds = speaker_files(site.daemon, site_speaker(lab, site))
    commands = [*interface_up(NIC, *site.lan)]
    for wire in wires:
        commands += interface_up(wire.site_interface, wire.link.site_address)
    commands += internet_commands(lab, site.name)
    for _, _, _, each in tunnels:
        commands += tunnel_commands(lab, site.name, each)
    return Planned(router_node(lab, site.name, site.daemon, Role.SITE, binds, commands), tuple(files))


def plan_host(lab: Lab, site: Site) -> Planned:
    """The host on a site's LAN."""
    node = Node(
        name=site.host.name,
        role=Role.HOST,
        env=environment(lab.name, site.host.name),
        exec=(
            *interface_up(NIC, site.host.address),
            f"ip route replace default via {site.lan[0].ip} dev {NIC}",
        ),
        sysctls=sysctls(forward=False),
        cap_add=NET_ADMIN,
    )
    return Planned(node)


def _tracking(router: Node, nva: Nva) -> Node:
    """The NVA's router with its tracker beside the daemon."""
    env = {
        "LABKIT_DAEMON": nva.daemon,
        "LABKIT_TRACK": str(nva.tracks),
        "LABKIT_TRACK_ASN": str(nva.asn),
        "LABKIT_TRACK_PREFIXES": " ".join(map(str, nva.advertises)),
    }
    return replace(router, services=(*router.services, "tracker"), env={**router.env, **env})
