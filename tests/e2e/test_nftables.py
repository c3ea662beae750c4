"""What the rendered nftables files do to packets: the Internet's node, an appliance's SNAT, an instance's counter.

The plan's own commands and files run in namespaces of the test's own.
"""

from __future__ import annotations

import json
import shlex
import socket
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from itertools import count

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from labkit.azure.model import FirewallRule, RuleAction, RuleProtocol, VirtualNetwork
from labkit.azure.rules.firewalls import decides, translates
from labkit.firewall.program import table
from labkit.lab.build import plan
from labkit.lab.load import load
from labkit.lab.model import Internet, InternetLeg, Snat
from labkit.lab.plan.common import NFTABLES
from labkit.lab.plan.model import Plan
from labkit.render.render import render_files
from labkit.resources import topologies
from tests.e2e.fabric_rig import BRIDGE_MAC, Namespace, Rig, in_own_namespaces, join, until
from tests.e2e.in_lab import lab_file
from tests.e2e.packets import ECHO_REPLY, ETH_P_IP, ICMP, TCP, TIME_EXCEEDED, UDP, Node, Sniffer, checksum
from tests.e2e.packets import Namespace as AnyNamespace

LAB = load(topologies() / "overview" / "lab.yml")
HOST = "198.51.100.10"
SAME = "10.0.0.4"


def boot(planned: Plan, name: str, namespace: AnyNamespace) -> None:
    """What a runtime does with a node once its links are there: sysctls and commands."""
    node = next(n for n in planned.nodes if n.name == name)
    prefix = "net.ipv4."
    namespace.sysctl(
        {k.removeprefix(prefix).replace(".", "/"): v for k, v in node.sysctls.items() if k.startswith(prefix)}
    )
    namespace.run("ip", "link", "set", "dev", "lo", "up")
    content = render_files(planned, image="none", lab_file=b"")[f"nodes/{name}/nftables.conf"]
    with tempfile.NamedTemporaryFile(prefix="labkit-nftables-") as file:
        file.write(content)
        file.flush()
        for command in node.exec:
            namespace.run(*(file.name if word == NFTABLES else word for word in shlex.split(command)))


def linked(rig: Rig, *ends: tuple[str, str, str, str]) -> tuple[Node, ...]:
    """Two nodes and the link between them; an end is name, address, interface and MAC (empty: any)."""
    spaces = [Namespace(), Namespace()]
    nodes = tuple(
        Node(name, address, mac or rig.mac(), space)
        for (name, address, _, mac), space in zip(ends, spaces, strict=True)
    )
    join(spaces[0], ends[0][2], spaces[1], ends[1][2], nodes[1].mac)
    spaces[0].run("ip", "link", "set", ends[0][2], "address", nodes[0].mac, "up")
    return nodes


def two_legs() -> Plan:
    legs = (InternetLeg("vnet1", IPv4Address("198.51.100.254")), InternetLeg("vnet2", IPv4Address("198.51.100.253")))
    internet = Internet("internet", IPv4Network("198.51.100.0/24"), IPv4Address(HOST), legs)
    vnet2 = VirtualNetwork("vnet2", LAB.azure.virtual_network["vnet1"].address_space)
    azure = replace(LAB.azure, virtual_networks=(*LAB.azure.virtual_networks, vnet2))
    return plan(replace(LAB, azure=azure, internet=internet))


def machine(rig: Rig, internet: Namespace, interface: str) -> Node:
    """A machine whose frames reach the Internet's leg as a fabric would hand them over, and the other way round."""
    namespace, mac = Namespace(), rig.mac()
    join(namespace, "eth0", internet, interface, mac)
    namespace.batch(
        f"link set eth0 address {BRIDGE_MAC} up",
        f"addr add {SAME}/32 dev eth0",
        f"neigh add 169.254.0.1 lladdr {mac} dev eth0 nud permanent",
        "route add default via 169.254.0.1 dev eth0 onlink",
    )
    return Node(f"behind-{interface}", SAME, BRIDGE_MAC, namespace)


@contextmanager
def answering(namespace: Namespace) -> Iterator[socket.socket]:
    """A TCP server on the Internet's host."""
    with namespace.inside(), socket.create_server((HOST, 80)) as server:
        server.settimeout(5)
        yield server


def connect(node: Node) -> socket.socket:
    """A connection to that server, always from the same address and port."""
    with node.namespace.inside():
        client = socket.socket()
    client.settimeout(5)
    client.bind((SAME, 40000))
    client.connect((HOST, 80))
    return client


@in_own_namespaces
def test_overlapping_virtual_networks_reach_the_internet_at_the_same_time() -> None:
    with Rig() as rig:
        internet = Namespace()
        nodes = [machine(rig, internet, "eth0"), machine(rig, internet, "eth1")]
        for _ in range(2):  # commands run again when a node is restarted
            boot(two_legs(), "internet", internet)
        for node in nodes:
            answer = node.ping(HOST)
            assert answer is not None
            assert (answer.sender, answer.type) == (HOST, ECHO_REPLY)
        with answering(internet) as server:
            clients = [connect(node) for node in nodes]
            accepted = [server.accept() for _ in clients]
            assert [address for _, (address, _) in accepted] == ["198.51.100.254", "198.51.100.253"]
            for number, (connection, _) in enumerate(accepted):
                connection.sendall(b"leg %d" % number)
            assert [client.recv(100) for client in clients] == [b"leg 0", b"leg 1"]
            for each in (*clients, *(connection for connection, _ in accepted)):
                each.close()


@in_own_namespaces
def test_the_internet_forwards_nothing() -> None:
    with Rig() as rig:
        internet = Namespace()
        nodes = [machine(rig, internet, "eth0"), machine(rig, internet, "eth1")]
        boot(two_legs(), "internet", internet)
        wire = nodes[1].sniff()
        for to in ("198.51.100.253", "203.0.113.9", "10.9.9.9"):
            nodes[0].ping(to, timeout=0.2)
        assert [f for f in wire.frames() if f.ip_source] == []


def security_appliance(rig: Rig) -> tuple[Node, Node]:
    """The overview's security NVA between a machine of its virtual network and the world, on one NIC."""
    outside, appliance = linked(
        rig, ("outside", "10.1.10.4", "eth0", BRIDGE_MAC), ("security-nva", "10.1.2.4", "eth0", "")
    )
    outside.namespace.batch(
        "link set lo up",
        "addr add 10.1.10.4/32 dev eth0",
        f"addr add {HOST}/32 dev lo",
        "addr add 10.1.20.4/32 dev lo",
        f"neigh add 10.1.2.4 lladdr {appliance.mac} dev eth0 nud permanent",
        "route add 10.1.2.4/32 dev eth0",
    )
    # The way of a packet through the appliance although sender and receiver are one machine here.
    outside.namespace.batch("rule del from all lookup local", "rule add priority 10 from all lookup local")
    outside.namespace.batch(
        f"rule add priority 1 iif lo to {HOST} lookup 7",
        "rule add priority 1 iif lo to 10.1.20.4 lookup 7",
        "route add default via 10.1.2.4 dev eth0 table 7",
    )
    outside.namespace.sysctl({"conf/all/accept_local": "1", "conf/eth0/accept_local": "1"})
    boot(plan(LAB), "security-nva", appliance.namespace)
    appliance.namespace.batch(
        f"neigh add 10.1.2.1 lladdr {BRIDGE_MAC} dev eth0 nud permanent",
        "route add default via 10.1.2.1 dev eth0",
    )
    return appliance, outside


@in_own_namespaces
def test_an_appliance_translates_what_leaves_the_virtual_network_and_nothing_else() -> None:
    with Rig() as rig:
        appliance, outside = security_appliance(rig)
        wire = outside.sniff()
        answer = outside.ping(HOST, source="10.1.10.4")
        assert answer is not None
        assert answer.type == ECHO_REPLY
        seen = [(f.ip_source, f.ip_destination) for f in wire.frames() if f.ip_source]
        assert seen[0] == (appliance.address, HOST)
        answer = outside.ping("10.1.20.4", source="10.1.10.4")
        assert answer is not None
        assert ("10.1.10.4", "10.1.20.4") in [(f.ip_source, f.ip_destination) for f in wire.frames() if f.ip_source]
        hop = outside.ping(HOST, source="10.1.10.4", ttl=1)
        assert hop is not None
        assert (hop.sender, hop.type) == (appliance.address, TIME_EXCEEDED)


@in_own_namespaces
def test_an_appliance_keeps_the_sources_of_what_it_sends_itself() -> None:
    with Rig() as rig:
        nvas = tuple(replace(n, snat={"sdwan-nva": Snat.PUBLIC} if n.name == "sdwan-nva" else {}) for n in LAB.nvas)
        branch, appliance = linked(rig, ("branch", "100.64.0.2", "eth0", ""), ("sdwan-nva", "10.1.1.4", "eth1", ""))
        branch.namespace.batch("addr add 100.64.0.2/30 dev eth0")
        appliance.namespace.batch("link add eth0 type veth peer name fabric", "link set fabric up")
        boot(plan(replace(LAB, nvas=nvas)), "sdwan-nva", appliance.namespace)
        wire = branch.sniff()
        answer = appliance.ping("100.64.0.2")
        assert answer is not None
        assert {f.ip_source for f in wire.frames() if f.ip_source} == {"100.64.0.1"}


@in_own_namespaces
def test_an_instance_counts_what_was_never_meant_for_it() -> None:
    with Rig() as rig:
        peer, instance = linked(rig, ("peer", "10.1.0.9", "eth0", ""), ("rs1-0", "10.1.0.4", "eth0", ""))
        peer.namespace.batch("addr add 10.1.0.9/26 brd + dev eth0", "route add default via 10.1.0.4")
        boot(plan(LAB), "rs1-0", instance.namespace)

        def foreign() -> int:
            listing = json.loads(instance.namespace.run("nft", "-j", "list", "counter", "inet", "labkit", "foreign"))
            (counter,) = [o["counter"] for o in listing["nftables"] if "counter" in o]
            return int(counter["packets"])

        assert peer.ping("10.1.0.4") is not None
        peer.send("224.0.0.1")
        assert foreign() == 0
        for _ in range(3):
            peer.ping("10.250.0.10", timeout=0.05)
        assert foreign() == 3


# An Azure Firewall's instance.


FIREWALL_PORTS = ("22", "80-90", "50-85")
ANYWHERE = st.lists(
    st.sampled_from([IPv4Network(n) for n in ("10.1.0.0/16", "10.1.1.0/24", "10.2.0.0/16", "198.51.100.0/24")]),
    unique=True,
    max_size=3,
).map(tuple)
PROTOCOLS = st.lists(st.sampled_from(RuleProtocol), unique=True, max_size=2).map(tuple)
WITH_PORTS = st.lists(st.sampled_from((RuleProtocol.TCP, RuleProtocol.UDP)), unique=True, max_size=2).map(tuple)
RANGES = st.lists(st.sampled_from(FIREWALL_PORTS), unique=True, min_size=1, max_size=3).map(tuple)
ACTIONS = st.sampled_from(RuleAction)
FIREWALL_RULES = st.lists(
    st.one_of(
        st.builds(FirewallRule, ACTIONS, ANYWHERE, ANYWHERE, PROTOCOLS),
        st.builds(FirewallRule, ACTIONS, ANYWHERE, ANYWHERE, WITH_PORTS, RANGES),
    ),
    max_size=5,
)
FLOWS = st.lists(
    st.tuples(
        st.sampled_from(("10.1.1.4", "10.1.9.9", "10.2.1.4")),
        st.sampled_from(("10.1.1.77", "10.2.1.77", HOST)),
        st.sampled_from((ICMP, TCP, UDP)),
        st.sampled_from((22, 49, 53, 85, 90, 91)),
    ),
    min_size=8,
    max_size=8,
)


@in_own_namespaces
def test_a_firewalls_instance_lets_through_what_the_rule_does() -> None:
    """And translates what goes to public addresses, and nothing else."""
    lab = load(lab_file("firewall"))
    own = lab.azure.nic["fw-0"].address
    source_ports = count(20000)
    with Rig() as rig:
        outside, node = linked(rig, ("outside", "10.0.1.1", "eth0", ""), ("fw-0", str(own), "eth0", ""))
        boot(plan(lab), "fw-0", node.namespace)
        node.namespace.run(
            "ip", "neigh", "replace", "10.0.1.1", "lladdr", outside.mac, "dev", "eth0", "nud", "permanent"
        )
        wire = Sniffer(outside)
        with outside.namespace.inside():
            sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        sender.bind(("eth0", 0))

        def sent(source: str, destination: str, protocol: int, port: int) -> None:
            head = bytes.fromhex((node.mac + outside.mac).replace(":", "")) + ETH_P_IP.to_bytes(2)
            sender.send(head + first_packet(source, destination, protocol, next(source_ports), port))

        def arrived() -> list[tuple[str, str, int]]:
            frames = [f for f in wire.frames() if f.ethertype == ETH_P_IP and f.source == node.mac]
            return [(f.ip_source, f.ip_destination, f.protocol) for f in frames]

        # Without rules nothing passes.
        sent("10.1.1.4", "10.2.1.77", UDP, 53)

        @settings(phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck))
        @given(rules=FIREWALL_RULES, flows=FLOWS)
        def agree(rules: list[FirewallRule], flows: list[tuple[str, str, int, int]]) -> None:
            with tempfile.NamedTemporaryFile("w", prefix="labkit-rules-") as file:
                file.write("\n".join(table([FirewallRule(RuleAction.ALLOW, destination_addresses=(LAST,)), *rules])))
                file.flush()
                node.namespace.run("nft", "-f", file.name)
            wanted = []
            for source, destination, protocol, port in flows:
                ends = IPv4Address(source), IPv4Address(destination)
                if decides(rules, *ends, protocol, None if protocol == ICMP else port) is RuleAction.ALLOW:
                    wanted.append((str(own) if translates(ends[1]) else source, destination, protocol))
                sent(source, destination, protocol, port)
            # What comes last passes in any case.
            sent("10.1.1.4", str(LAST[0]), UDP, 53)
            found: list[tuple[str, str, int]] = []

            def complete() -> bool:
                found.extend(arrived())
                return bool(found) and found[-1][1] == str(LAST[0])

            until(complete, "the last one arrived")
            assert found[:-1] == wanted, rules

        agree()


LAST = IPv4Network("10.77.0.1/32")


def first_packet(source: str, destination: str, protocol: int, source_port: int, port: int) -> bytes:
    """The first packet of a flow."""
    addresses = IPv4Address(source).packed + IPv4Address(destination).packed
    match protocol:
        case 1:
            body = struct.pack("!BBHHH", 8, 0, 0, source_port, 1)
            body = body[:2] + checksum(body).to_bytes(2) + body[4:]
        case 6:
            body = struct.pack("!HHIIBBHHH", source_port, port, 1, 0, 0x50, 0x02, 64000, 0, 0)
            whole = checksum(addresses + struct.pack("!BBH", 0, protocol, len(body)) + body)
            body = body[:16] + whole.to_bytes(2) + body[18:]
        case _:
            body = struct.pack("!HHHH", source_port, port, 8, 0)
    start = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(body), 1, 0, 64, protocol)
    return start + checksum(start + bytes(2) + addresses).to_bytes(2) + addresses + body
