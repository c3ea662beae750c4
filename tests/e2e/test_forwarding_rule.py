"""The rule of forwarding against the fabric's nftables program: random tables and packets, sent for real.

Every example changes both fabrics of a rig, sends packets out of its NICs, and finds each of them where
`labkit.azure.forwarding` has it: at one NIC, at the Internet, or in the counter of one reason of one port.
"""

from __future__ import annotations

import socket
import struct
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from labkit.azure.flows import GRE, IP_IN_IP, TCP, UDP, Flow
from labkit.azure.forwarding import Backend, Disposition, Packet, Surroundings, Verdict, forward
from labkit.azure.model import Azure, EffectiveRoute, NextHopType, Nic, Peering, RouteSource, RouteState, VirtualNetwork
from labkit.azure.rules.adjacency import takes_forwarded
from labkit.azure.rules.effective import lookup
from tests.e2e.fabric_rig import BRIDGE_MAC, SEED, Fabric, Rig, in_own_namespaces, until
from tests.e2e.packets import ETH_P_IP, ICMP, Node, Sniffer, checksum

PACKETS = 24

NETWORKS = {"vnet1": IPv4Network("10.1.0.0/16"), "vnet2": IPv4Network("10.2.0.0/16")}
NICS = {
    "vm1": ("vnet1", "10.1.10.4"),
    "vm2": ("vnet1", "10.1.10.5"),
    "nva1": ("vnet1", "10.1.5.4"),
    "nva2": ("vnet1", "10.1.5.5"),
    "vm3": ("vnet2", "10.2.10.4"),
    "nva3": ("vnet2", "10.2.5.4"),
}
BACKENDS = ("vm2", "nva1", "nva2")
INTERNET, FRONTEND, NOBODY = "internet", IPv4Address("10.1.5.100"), IPv4Address("10.1.99.9")
OWN = [IPv4Address(address) for _, address in NICS.values()]
ABROAD = [IPv4Address("192.0.2.1"), IPv4Address("10.9.0.1"), IPv4Address("10.9.1.1")]
ADDRESSES = [*OWN, FRONTEND, NOBODY, *ABROAD]
PREFIXES = [IPv4Network(p) for p in ("0.0.0.0/0", "10.0.0.0/8", "10.9.0.0/16", "10.9.0.0/24", "192.0.2.0/24")]
PREFIXES += [*NETWORKS.values(), *map(IPv4Network, OWN)]

REASONS = {
    Disposition.NO_ROUTE: "no-route",
    Disposition.NONE: "none",
    Disposition.FOREIGN_SOURCE: "foreign-source",
    Disposition.PROTOCOL: "protocol",
    Disposition.UNKNOWN_DESTINATION: "unknown-destination",
    Disposition.NO_BACKEND: "no-backend",
    Disposition.NO_RULE: "no-rule",
    Disposition.NOT_ACCEPTED: "forwarded",
    Disposition.NOT_FORWARDED: "foreign-destination",
}
"""The counter of a port by the disposition of a dropped packet."""

Place = tuple[str, str]
"""Where packets are found: ("at", node), or a fabric and one of its counters."""


@dataclass(frozen=True)
class World:
    """Tables of both virtual networks, what their NICs and peerings allow, and which backends are up."""

    tables: dict[str, dict[IPv4Network, tuple[NextHopType, tuple[IPv4Address, ...]]]]
    forwarding: frozenset[str]
    allowed: frozenset[str]
    healthy: frozenset[str]


@dataclass(frozen=True)
class Sent:
    """A packet, and the NIC that sends it. Only a `fragment` of TCP or UDP has no ports."""

    sender: str
    source: IPv4Address
    destination: IPv4Address
    protocol: int
    ports: tuple[int, int]
    fragment: bool

    @property
    def packet(self) -> Packet:
        """As the rule takes it."""
        return Packet(self.source, self.destination, Flow(self.protocol, None if self.fragment else self.ports))

    def frame(self, mac: str) -> bytes:
        """As it leaves a NIC, for the bridge."""
        flags = 0x2000 if self.fragment else 0
        body = struct.pack("!HHHH", *self.ports, 8, 0)
        addresses = self.source.packed + self.destination.packed
        start = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(body), 1, flags, 64, self.protocol)
        header = start + checksum(start + bytes(2) + addresses).to_bytes(2) + addresses
        return bytes.fromhex((BRIDGE_MAC + mac).replace(":", "")) + ETH_P_IP.to_bytes(2) + header + body


HOPS = st.lists(st.sampled_from([*OWN, FRONTEND, NOBODY]), min_size=1, max_size=4, unique=True).map(sorted).map(tuple)
VIA = (NextHopType.VIRTUAL_APPLIANCE, NextHopType.VIRTUAL_NETWORK_GATEWAY)
GROUPS = st.one_of(
    st.sampled_from([kind for kind in NextHopType if kind not in VIA]).map(lambda kind: (kind, ())),
    st.tuples(st.sampled_from(VIA), HOPS),
)
TABLES = st.dictionaries(st.sampled_from(PREFIXES), GROUPS, max_size=8)
WORLDS = st.builds(
    World,
    st.fixed_dictionaries(dict.fromkeys(NETWORKS, TABLES)),
    st.frozensets(st.sampled_from(list(NICS))),
    st.frozensets(st.sampled_from(list(NETWORKS))),
    st.frozensets(st.sampled_from(BACKENDS)),
)

LOCAL: dict[IPv4Network, tuple[NextHopType, tuple[IPv4Address, ...]]] = {
    NETWORKS["vnet1"]: (NextHopType.VNET_LOCAL, ())
}
NO_BACKEND = World({"vnet1": LOCAL, "vnet2": {}}, frozenset(), frozenset(), frozenset())
BACKENDS_UP = replace(NO_BACKEND, healthy=frozenset(BACKENDS))
TO_BACKENDS = [Sent("vm1", OWN[0], FRONTEND, UDP, (port, 53), fragment=False) for port in range(2000, 2008)]
"""What random examples have too seldom to count on it."""


@st.composite
def sent(draw: st.DrawFn) -> Sent:
    sender = draw(st.sampled_from(list(NICS)))
    own = IPv4Address(NICS[sender][1])
    return Sent(
        sender,
        draw(st.one_of(st.just(own), st.sampled_from(ADDRESSES))),
        draw(st.sampled_from(ADDRESSES)),
        draw(st.sampled_from((UDP, TCP, ICMP, GRE, IP_IN_IP))),
        (draw(st.integers(1024, 65535)), draw(st.integers(1, 65535))),
        draw(st.booleans()),
    )


class Bed:
    """Two peered virtual networks with NICs that never answer, an Internet, and a load balancer."""

    def __init__(self, rig: Rig) -> None:
        self.fabrics = {name: rig.fabric(name) for name in NETWORKS}
        self.nodes: dict[str, Node] = {}
        for name, (network, address) in NICS.items():
            self.nodes[name] = self.fabrics[network].nic(name, f"{address}/24")
        self.nodes[INTERNET] = self.fabrics["vnet1"].internet("10.1.0.200/24", "198.51.100.10")
        for node in self.nodes.values():
            node.namespace.batch("addr flush dev eth0")
        self.fabrics["vnet1"].peer(self.fabrics["vnet2"])
        backends = {name: NICS[name][1] for name in BACKENDS}
        for fabric in self.fabrics.values():
            fabric.tables["t1"] = {"groups": {}, "routes": {}}
            fabric.balancers["lb1"] = {"address": str(FRONTEND), "backends": backends, "probe": None, "healthy": []}
            fabric.start()
        self.wires = {name: Sniffer(node) for name, node in self.nodes.items()}
        self.out: dict[str, socket.socket] = {}
        for name in NICS:
            with self.nodes[name].namespace.inside():
                self.out[name] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            self.out[name].bind(("eth0", 0))

    @cached_property
    def nics(self) -> dict[str, Nic]:
        """The NICs as the rule takes them, without IP forwarding."""
        return {
            name: Nic(name, name, "eth0", network, "s", IPv4Address(address), self.nodes[name].mac)
            for name, (network, address) in NICS.items()
        }

    def becomes(self, world: World) -> None:
        """Change both fabrics as their controller would."""
        azure = self.azure(world)
        for name, fabric in self.fabrics.items():
            (other,) = NETWORKS.keys() - {name}
            ports = {
                nic: {**fabric.ports[nic], "ip_forwarding": nic in world.forwarding}
                for nic in NICS
                if NICS[nic][0] == name
            }
            peering = fabric.snapshot()["ports"][other]
            sources = {} if takes_forwarded(azure, name, other) else {"sources": [str(NETWORKS[other])]}
            routes = world.tables[name]
            table = {
                "groups": {
                    str(i): {"type": str(kind), "next_hops": [*map(str, hops)]}
                    for i, (kind, hops) in enumerate(routes.values())
                },
                "routes": {str(prefix): i for i, prefix in enumerate(routes)},
            }
            fabric.delta(
                ports={**ports, other: {**peering, **sources}},
                new_tables={"t1": table},
                healthy={"lb1": sorted(world.healthy)},
            )

    def azure(self, world: World) -> Azure:
        """The model of a world."""
        networks = tuple(VirtualNetwork(name, (prefix,)) for name, prefix in NETWORKS.items())
        one, other = NETWORKS
        peerings = tuple(
            Peering(a, b, allow_forwarded_traffic=a in world.allowed) for a, b in ((one, other), (other, one))
        )
        return Azure(networks, peerings)

    def expected(self, world: World, packet: Sent) -> Place:
        """Where the rule has a packet."""
        nics = {name: replace(nic, ip_forwarding=name in world.forwarding) for name, nic in self.nics.items()}
        nic = nics[packet.sender]
        rows = (
            EffectiveRoute(RouteSource.USER, RouteState.ACTIVE, prefix, kind, hops)
            for prefix, (kind, hops) in world.tables[nic.virtual_network].items()
        )
        around = Surroundings(
            {each.address: each for each in nics.values()},
            {FRONTEND: [Backend(nics[name].address, name in world.healthy) for name in BACKENDS]},
            internet=nic.virtual_network == "vnet1",
            seed=SEED,
        )
        row = lookup(rows, packet.destination)
        (verdict,) = forward(self.azure(world), around, nic, row, packet.packet)
        return place(nic, verdict)

    def counters(self) -> Counter[Place]:
        """What both fabrics have dropped, by their counters."""
        return Counter(
            {(name, counter): n for name, fabric in self.fabrics.items() for counter, n in drops(fabric).items()}
        )

    def found(self, packets: list[Sent]) -> Counter[Place]:
        """Where packets are once they have been sent."""
        before, arrived = self.counters(), Counter[Place]()
        for wire in self.wires.values():
            wire.frames()
        for packet in packets:
            self.out[packet.sender].send(packet.frame(self.nodes[packet.sender].mac))

        def seen() -> Counter[Place]:
            for name, wire in self.wires.items():
                arrived["at", name] += sum(frame.ethertype == ETH_P_IP for frame in wire.frames())
            return +arrived + (self.counters() - before)

        result = Counter[Place]()

        def all_of_them() -> bool:
            nonlocal result
            result = seen()
            return result.total() >= len(packets)

        until(all_of_them, "every packet has arrived or been counted")
        return result


def drops(fabric: Fabric) -> dict[str, int]:
    """The packets that a fabric has dropped, by counter; what is no IPv4 is none of ours."""
    return {name: n for name, n in fabric.counters().items() if not name.endswith("not-ipv4")}


def place(nic: Nic, verdict: Verdict) -> Place:
    """Where a packet of a NIC is found by a verdict."""
    there = verdict.nic
    match verdict.disposition:
        case Disposition.INTERNET:
            return "at", INTERNET
        case Disposition.DELIVERED | Disposition.FORWARDED:
            assert there is not None
            return "at", there.name
        case Disposition.NOT_ACCEPTED:
            assert there is not None
            return there.virtual_network, f"drop-{nic.virtual_network}-forwarded"
        case Disposition.NOT_FORWARDED:
            assert there is not None
            return there.virtual_network, f"drop-{there.name}-foreign-destination"
        case other:
            return nic.virtual_network, f"drop-{nic.name}-{REASONS[other]}"


@in_own_namespaces
def test_the_fabric_agrees_with_the_rule() -> None:
    seen: set[str] = set()
    with Rig() as rig:
        bed = Bed(rig)

        @settings(
            phases=[Phase.explicit, Phase.generate],
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @example(world=NO_BACKEND, packets=TO_BACKENDS)
        @example(world=BACKENDS_UP, packets=[*TO_BACKENDS, replace(TO_BACKENDS[0], protocol=ICMP)])
        @given(world=WORLDS, packets=st.lists(sent(), min_size=PACKETS, max_size=PACKETS))
        def agree(world: World, packets: list[Sent]) -> None:
            bed.becomes(world)
            wanted = Counter(bed.expected(world, packet) for packet in packets)
            seen.update(where if where == "at" else name.split("-", 2)[2] for where, name in wanted)
            assert bed.found(packets) == wanted, (world, packets)

        agree()
    assert seen == {"at", *REASONS.values()}, "the examples have every reason for which a fabric drops a packet"
