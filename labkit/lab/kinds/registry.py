"""The list of kinds."""

from __future__ import annotations

from labkit.lab.kinds.assumptions import AssumptionsKind
from labkit.lab.kinds.circuit import CircuitKind
from labkit.lab.kinds.connection import ConnectionKind
from labkit.lab.kinds.firewall import FirewallKind
from labkit.lab.kinds.gateway import GatewayKind
from labkit.lab.kinds.internet import InternetKind
from labkit.lab.kinds.kind import Kind
from labkit.lab.kinds.load_balancer import LoadBalancerKind
from labkit.lab.kinds.nva import NvaKind
from labkit.lab.kinds.nva_peer import NvaPeerKind
from labkit.lab.kinds.overlay import OverlayKind
from labkit.lab.kinds.peering import PeeringKind
from labkit.lab.kinds.proof import ProofKind
from labkit.lab.kinds.route_server import RouteServerKind
from labkit.lab.kinds.route_table import RouteTableKind
from labkit.lab.kinds.site import SiteKind
from labkit.lab.kinds.virtual_machine import VirtualMachineKind
from labkit.lab.kinds.virtual_network import VirtualNetworkKind
from labkit.lab.kinds.wan_link import WanLinkKind

KINDS: tuple[Kind, ...] = (
    VirtualNetworkKind(),
    PeeringKind(),
    RouteTableKind(),
    RouteServerKind(),
    NvaKind(),
    VirtualMachineKind(),
    LoadBalancerKind(),
    FirewallKind(),
    WanLinkKind(),
    OverlayKind(),
    NvaPeerKind(),
    GatewayKind(),
    ConnectionKind(),
    CircuitKind(),
    InternetKind(),
    SiteKind(),
    AssumptionsKind(),
    ProofKind(),
)
"""Every kind, in the order in which each stage runs them: it decides who gets which address."""
