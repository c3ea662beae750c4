"""VPN tunnels: VXLAN over the simulated Internet, because not every kernel has IPsec."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from labkit.azure.model import InstanceId
from labkit.lab.model import Lab, Tunnel
from labkit.lab.plan.common import point_to_point, tunnel


def tunnel_commands(lab: Lab, node: str, of: Tunnel) -> tuple[str, ...]:
    """Commands for the end of a tunnel in `node`: an instance of the gateway, or the site."""
    assert lab.internet is not None
    gateway = next(g for g in lab.gateways if of in g.tunnels)
    instance = InstanceId(gateway.name, of.instance).node
    inside = lab.azure.gateway[gateway.name].instances[of.instance]
    public = lab.internet.public
    near, far, own, other = instance, of.site, inside, of.far
    if node == of.site:
        near, far, own, other = far, near, other, own
    name = f"vxlan{of.vni}"
    return (tunnel(name, of.vni, public[near], public[far]), *point_to_point(name, own, other))


def sites_tunnels(lab: Lab, site: str) -> Iterator[tuple[str, IPv4Address, int, Tunnel]]:
    """The tunnels that end at a site: the far instance's node, its address inside, the gateway's ASN, the tunnel."""
    for gateway in lab.gateways:
        azure = lab.azure.gateway[gateway.name]
        for each in gateway.tunnels:
            if each.site == site:
                yield InstanceId(gateway.name, each.instance).node, azure.instances[each.instance], azure.asn, each
