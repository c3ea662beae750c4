"""VPN tunnels: VXLAN over the simulated Internet, because not every kernel has IPsec."""

from __future__ import annotations

from ipaddress import IPv4Address

from labkit.lab.model import Lab, Tunnel
from labkit.lab.plan.common import point_to_point, tunnel


def tunnel_interface(of: Tunnel) -> str:
    """The name of a tunnel's interface, at both ends."""
    return f"vxlan{of.vni}"


def tunnel_commands(lab: Lab, of: Tunnel) -> tuple[str, ...]:
    """Commands for the near end of a tunnel."""
    name = tunnel_interface(of)
    near, far = of.near, of.far
    local = lab.azure.primary_nic(near.node).address if near.node in lab.nva else public_address(lab, near.node)
    made = tunnel(name, of.vni, local, public_address(lab, far.node))
    return (made, *point_to_point(name, near.address, far.address))


def public_address(lab: Lab, node: str) -> IPv4Address:
    """Where the packets of tunnels to a router go: an NVA's primary NIC has it by translation, others have it."""
    assert lab.internet is not None
    if node in lab.nva:
        return lab.internet.translated[lab.azure.primary_nic(node).name]
    return lab.internet.public[node]
