"""What may be wrong with a model, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """What Azure refuses, or accepts although it does not work."""

    OVERLAP_WITHIN = "address-space-overlaps-itself"
    OVERLAP_PEERED = "peered-address-spaces-overlap"
    PEERING_ONE_SIDED = "peering-one-sided"
    PEERING_DISCONNECTED = "remote-peering-is-disconnected"
    PEERING_NOT_IN_SYNC = "peering-not-in-sync"
    PEERING_DUPLICATE = "peering-duplicate"
    PEERING_SELF = "peering-with-itself"
    URG_TWICE = "remote-gateways-twice"
    URG_OWN_SERVER = "remote-gateways-and-own"
    URG_OWN_GATEWAY = "remote-gateways-and-own-gateway"
    URG_NO_TRANSIT = "remote-gateways-not-allowed"
    URG_NO_SERVER = "remote-gateways-missing"
    SERVER_SECOND = "second-route-server"
    SERVER_SUBNET = "route-server-subnet"
    PEERS_TOO_MANY = "too-many-peers"
    PEER_DUPLICATE = "peer-duplicate"
    PEER_ASN = "peer-asn"
    PEER_UNREACHABLE = "peer-unreachable"
    PEER_NO_REMOTE_GATEWAYS = "peer-without-remote-gateways"
    PEER_AZURES_OWN = "peer-with-an-address-of-azure"
    PEER_NOBODYS = "peer-without-nic"
    NEXT_HOP_NOBODYS = "next-hop-without-nic"
    ROUTE_TO_NO_GATEWAY = "route-to-no-gateway"
    NIC_NOT_FORWARDING = "nic-without-ip-forwarding"
    ROUTE_CONFLICT = "route-conflict"
    SUBNET_OUTSIDE = "subnet-outside-address-space"
    GATEWAY_SECOND = "second-gateway"
    GATEWAY_SUBNET = "gateway-subnet"
    GATEWAY_INSTANCES = "gateway-instances"
    GATEWAY_ASN = "gateway-asn"
    GATEWAY_PROPAGATION = "gateway-subnet-propagation"
    GATEWAY_DEFAULT_ROUTE = "gateway-subnet-default-route"
    CONNECTION_REMOTE = "connection-remote"
    CONNECTION_DUPLICATE = "connection-duplicate"
    CONNECTION_ASN = "connection-asn"
    REMOTE_ASN = "remote-asn"
    AUTHORIZATION_MISSING = "authorization-missing"
    AUTHORIZATION_IN_USE = "authorization-in-use"
    GATEWAY_STANDBY = "route-server-with-active-passive-gateway"
    GATEWAY_NO_TRANSIT = "gateway-no-transit"
    GATEWAY_CUT_OFF = "gateway-cut-off-from-route-server"
    GATEWAY_INSTANCES_CUT = "gateway-instances-cut"
    BACKEND_ELSEWHERE = "backend-in-another-virtual-network"
    BACKEND_TWICE = "backend-of-two-load-balancers"
    FIREWALL_SECOND = "second-firewall"
    FIREWALL_SUBNET = "firewall-subnet"
    FIREWALL_SUBNET_SIZE = "firewall-subnet-size"
    FIREWALL_RULE = "firewall-rule"
    FIREWALL_PORT = "firewall-port"
    PROBE_INTERVAL = "probe-interval"


@dataclass(frozen=True, slots=True)
class Problem:
    """One of them. `subjects` name the objects, the one to change first; `text` is a clause without a full stop."""

    code: Code
    text: str
    subjects: tuple[str, ...]
