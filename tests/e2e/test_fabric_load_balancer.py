"""The fabric process as a load balancer in real kernels: how it shares flows, and what its probes do."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from tests.e2e.fabric_rig import BRIDGE_MAC, Fabric, Rig, in_own_namespaces, in_own_user_namespace, table, until
from tests.e2e.packets import ETH_P_IP, ICMP, TCP, UDP, Node, Sniffer

FRONTEND, AZURE = "10.1.5.100", "168.63.129.16"
TARGET = "10.9.0.7"
FLOWS = range(20000, 20200)


@dataclass
class Pair:
    """A machine, and two appliances behind a load balancer that is its next hop."""

    fabric: Fabric
    vm: Node
    nvas: list[Node]
    listeners: ExitStack
    open: dict[str, ExitStack] = field(default_factory=dict)
    wires: list[Sniffer] = field(default_factory=list)

    def listen(self, nva: Node) -> None:
        """Let an appliance answer probes."""
        self.open[nva.name] = self.listeners.enter_context(ExitStack())
        self.open[nva.name].enter_context(nva.listening(179))

    def close(self, nva: Node) -> None:
        """Let it answer none."""
        self.open[nva.name].close()

    def found(self) -> dict[str, bool]:
        """What was reported to the controller last of every backend."""
        return {f["backend"]: f["up"] for f in self.fabric.controller.found}

    def taken(self, sender: Node | None = None) -> list[set[int]]:
        """The flows, by source port, that each appliance gets of those that a machine sends."""
        for port in FLOWS:
            (sender or self.vm).send(TARGET, source_port=port)
        return [{f.source_port for f in wire.frames() if f.protocol == UDP} for wire in self.wires]


@contextmanager
def pair(rig: Rig, *hops: str, count: int = 2) -> Iterator[Pair]:
    """Appliances behind a load balancer in vnet1, and a machine whose next hops are `hops`, or its frontend."""
    fabric = rig.fabric()
    group = ("VirtualNetworkGateway", *(hops or (FRONTEND,)))
    fabric.tables["t1"] = table({1: ("VnetLocal",), 2: group}, {"10.1.0.0/16": 1, "10.9.0.0/16": 2})
    fabric.tables["nva"] = table({1: ("VnetLocal",), 2: ("None",)}, {"10.1.0.0/16": 1, "0.0.0.0/0": 2})
    vm = fabric.nic("vm1", "10.1.10.4/24")
    nvas = [fabric.nic(f"nva{i}", f"10.1.5.{i}/24", table="nva", ip_forwarding=True) for i in range(4, 4 + count)]
    fabric.balance("lb1", FRONTEND, *nvas)
    with ExitStack() as listeners:
        yield Pair(fabric, vm, nvas, listeners, wires=[nva.sniff() for nva in nvas])


@in_own_namespaces
def test_flows_are_shared_among_those_that_answer_probes() -> None:
    flows_are_shared()


@in_own_user_namespace
def test_and_so_they_are_without_rights_on_the_machine() -> None:
    flows_are_shared()


def flows_are_shared() -> None:
    with Rig() as rig, pair(rig) as two:
        one, other = two.nvas
        two.fabric.start()
        until(lambda: two.found() == {"nva4": False, "nva5": False}, "the first probes failed")
        assert two.taken() == [set(), set()]
        until(lambda: two.fabric.counters()["drop-vm1-no-backend"] == len(FLOWS), "dropped packets counted")

        two.listen(one)
        two.listen(other)
        until(lambda: two.found() == {"nva4": True, "nva5": True}, "both answer")
        left, right = two.taken()
        assert left | right == set(FLOWS)
        assert not left & right
        assert 60 <= len(left) <= 140
        assert two.taken() == [left, right]
        for _ in range(10):
            two.vm.ping(TARGET, timeout=0)
        assert sorted(len([f for f in wire.frames() if f.protocol == ICMP]) for wire in two.wires) == [0, 10]

        two.close(one)
        until(lambda: two.found() == {"nva4": False, "nva5": True}, "the probes of one fail")
        assert two.taken() == [set(), set(FLOWS)]
        (reason,) = {f["reason"] for f in two.fabric.controller.found[-1:]}
        assert reason == "its probe on TCP 179 failed twice: connection refused"
        two.close(other)
        until(lambda: two.found() == {"nva4": False, "nva5": False}, "the probes of both fail")
        assert two.taken() == [set(), set()]

        two.listen(one)
        until(lambda: two.found() == {"nva4": True, "nva5": False}, "one is back")
        assert two.taken() == [set(FLOWS), set()]
        two.listen(other)
        until(lambda: two.found() == {"nva4": True, "nva5": True}, "both are back")
        assert two.taken() == [left, right]
        # The frontend answers ARP as everything does; what is for the frontend itself is for nobody.
        assert two.vm.ask(FRONTEND) == BRIDGE_MAC
        assert two.vm.ping(FRONTEND, timeout=0.1) is None


@in_own_namespaces
def test_a_backend_that_goes_down_moves_no_flow_of_the_others() -> None:
    with Rig() as rig, pair(rig, count=3) as three:
        for nva in three.nvas:
            three.listen(nva)
        three.fabric.start()
        until(lambda: list(three.found().values()) == [True] * 3, "all answer")
        before = three.taken()
        three.close(three.nvas[1])
        until(lambda: not three.found()["nva5"], "the probes of one fail")
        after = three.taken()
        assert before[0] < after[0]
        assert before[2] < after[2]
        assert after[1] == set()
        assert set.union(*after) == set(FLOWS)


@in_own_namespaces
def test_a_load_balancer_shares_with_an_equal_path_as_one() -> None:
    with Rig() as rig, pair(rig, FRONTEND, "10.1.5.200") as two:
        third = two.fabric.nic("nva200", "10.1.5.200/24", table="nva", ip_forwarding=True)
        two.wires.append(third.sniff())
        for nva in two.nvas:
            two.listen(nva)
        two.fabric.start()
        until(lambda: two.found() == {"nva4": True, "nva5": True}, "both answer")
        first, second, direct = two.taken()
        assert first | second | direct == set(FLOWS)
        assert 70 <= len(direct) <= 130
        assert min(len(first), len(second)) >= 25


@in_own_namespaces
def test_probes_are_all_that_gets_out_of_and_into_the_fabric_itself() -> None:
    with Rig() as rig, pair(rig) as two:
        one = two.nvas[0]
        two.listen(one)
        two.fabric.start()
        until(lambda: two.found() == {"nva4": True, "nva5": False}, "probes came and went")
        frames = [f for f in two.wires[0].frames() if f.ethertype == ETH_P_IP]
        assert {(f.ip_source, f.source, f.protocol, f.destination_port) for f in frames} == {
            (AZURE, BRIDGE_MAC, TCP, 179)
        }
        # Nothing else answers there, and who is no backend gets no answer at all.
        wire = two.vm.sniff()
        assert one.ping(AZURE, timeout=0.1) is None
        for node, port in ((one, 22), (two.vm, 179)):
            with node.namespace.inside(), socket.socket() as tcp:
                tcp.bind(("", 0))
                tcp.settimeout(0.1)
                assert tcp.connect_ex((AZURE, port)) != 0
        assert [f for f in wire.frames() if f.ip_source == AZURE] == []
        with two.fabric.namespace.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind((AZURE, 0))
            try:
                udp.sendto(b"x", (one.address, 179))
            except PermissionError:
                pass
            else:
                raise AssertionError("the fabric itself sent something")
        # A guest whose route to it leads out of another interface fails its probes.
        one.namespace.batch("link add wan type veth peer name far", "link set wan up", "link set far up")
        one.namespace.batch(f"route add {AZURE}/32 dev wan")
        until(lambda: not two.found()["nva4"], "the answers are lost")
        assert two.fabric.controller.found[-1]["reason"].startswith("its probe on TCP 179 failed twice: no answer")
        one.namespace.batch(f"route del {AZURE}/32 dev wan")
        until(lambda: two.found()["nva4"], "the answers come again")


@in_own_namespaces
def test_health_outlives_the_controller_and_the_fabric() -> None:
    with Rig() as rig, pair(rig) as two:
        one, other = two.nvas
        two.listen(one)
        two.listen(other)
        two.fabric.start()
        until(lambda: two.found() == {"nva4": True, "nva5": True}, "both answer")
        left, right = two.taken()
        # A controller that comes back and knows nothing is sent the states, and takes nothing away.
        two.fabric.controller.stop()
        two.close(one)
        until(lambda: two.taken() == [set(), set(FLOWS)], "the fabric acts by itself")
        two.fabric.controller.found.clear()
        two.fabric.controller.start()
        two.fabric.controller.applied()
        until(lambda: two.found() == {"nva4": False, "nva5": True}, "the new controller is told")
        assert two.taken() == [set(), set(FLOWS)]
        two.listen(one)
        until(lambda: two.found()["nva4"], "one is back")
        # A fabric that comes back has from the controller what it had reported, before any probe of its own.
        two.fabric.kill()
        assert two.taken() == [left, right]
        two.fabric.balancers["lb1"] |= {"healthy": ["nva5"], "probe": {"port": 179, "interval": 5.0, "count": 2}}
        two.close(one)
        two.fabric.launch()
        assert two.taken() == [set(), set(FLOWS)]


@in_own_namespaces
def test_from_a_peered_network_the_frame_goes_straight_to_a_backend() -> None:
    with Rig() as rig, pair(rig) as two:
        spoke = rig.fabric("spoke")
        routes = {"10.2.0.0/16": 1, "10.1.0.0/16": 2, "10.9.0.0/16": 3}
        groups = {1: ("VnetLocal",), 2: ("VNetPeering",), 3: ("VirtualNetworkGateway", FRONTEND)}
        spoke.tables["t1"] = table(groups, routes)
        vm = spoke.nic("vm2", "10.2.0.4/24")
        two.fabric.peer(spoke)
        spoke.balancers["lb1"] = {**two.fabric.balancers["lb1"], "probe": None, "healthy": ["nva4", "nva5"]}
        two.fabric.start()
        spoke.start()
        left, right = two.taken(vm)
        assert left | right == set(FLOWS)
        assert min(len(left), len(right)) >= 60
        spoke.controller.send({"type": "delta", "ports": {}, "tables": {}, "healthy": {"lb1": ["nva5"]}})
        spoke.controller.applied()
        assert two.taken(vm) == [set(), set(FLOWS)]
        # A controller that knows nothing yet changes nothing.
        spoke.controller.stop()
        spoke.balancers["lb1"]["healthy"] = None
        spoke.controller.start()
        spoke.controller.applied()
        assert two.taken(vm) == [set(), set(FLOWS)]
        assert spoke.controller.found == []


@in_own_namespaces
def test_a_frontend_answers_as_the_backend_that_a_flow_meets() -> None:
    with Rig() as rig, pair(rig) as two, ExitStack() as servers:
        spoke = rig.fabric("spoke")
        spoke.tables["t1"] = table({1: ("VnetLocal",), 2: ("VNetPeering",)}, {"10.2.0.0/16": 1, "10.1.0.0/16": 2})
        two.fabric.tables["nva"] = table({1: ("VnetLocal",), 2: ("VNetPeering",)}, {"10.1.0.0/16": 1, "10.2.0.0/16": 2})
        there = spoke.nic("vm2", "10.2.0.4/24")
        two.fabric.peer(spoke)
        spoke.balancers["lb1"] = {**two.fabric.balancers["lb1"], "probe": None, "healthy": ["nva4", "nva5"]}
        for nva in two.nvas:
            two.listen(nva)
            servers.enter_context(echoing(nva))
        two.fabric.start()
        spoke.start()
        until(lambda: two.found() == {"nva4": True, "nva5": True}, "both answer")
        for client in (two.vm, there):
            answers = [asked(client, FRONTEND, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM) * 16]
            assert set(answers) == {f"{nva.name} to {client.address}" for nva in two.nvas}
            # What is for a backend itself is as it was.
            assert asked(client, two.nvas[0].address, socket.SOCK_STREAM) == f"nva4 to {client.address}"
            assert client.ping(FRONTEND, timeout=0.2) is None
        before = two.fabric.counters()["drop-vm1-no-rule"]
        assert two.vm.ping(FRONTEND, timeout=0.1) is None
        assert two.fabric.counters()["drop-vm1-no-rule"] == before + 1
        # A fabric that comes back knows its flows.
        with two.vm.namespace.inside(), socket.create_connection((FRONTEND, ECHO), 20.0) as open_before:
            two.fabric.kill()
            two.fabric.launch()
            assert answer(open_before, two.vm).endswith(two.vm.address)
        # A backend that is its own client may meet itself, and gets no answer then.
        own = [asked(two.nvas[0], FRONTEND, socket.SOCK_DGRAM, 0.5) for _ in range(12)]
        assert set(own) == {"", f"nva5 to {two.nvas[0].address}"}


ECHO = 7000


@contextmanager
def echoing(node: Node) -> Iterator[None]:
    """A server on a node, of TCP and UDP, that answers with its name and the client's address."""
    with node.namespace.inside(), ExitStack() as sockets:
        tcp = sockets.enter_context(socket.create_server(("", ECHO)))
        udp = sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("", ECHO))
        stop = sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        stop.bind(("127.0.0.1", 0))

        def serve() -> None:
            with selectors.DefaultSelector() as events:
                for each in (tcp, udp, stop):
                    events.register(each, selectors.EVENT_READ)
                while True:
                    for key, _ in events.select():
                        if key.fileobj is stop:
                            return
                        if key.fileobj is tcp:
                            one, client = tcp.accept()
                            with one:
                                one.recv(10)
                                one.sendall(f"{node.name} to {client[0]}".encode())
                        else:
                            _, client = udp.recvfrom(10)
                            udp.sendto(f"{node.name} to {client[0]}".encode(), client)

        server = threading.Thread(target=serve)
        server.start()
        try:
            yield
        finally:
            with node.namespace.inside():
                udp.sendto(b"", stop.getsockname())
            server.join()


def asked(client: Node, address: str, kind: socket.SocketKind, timeout: float = 20.0) -> str:
    """The answer of a server at an address; empty if there is none."""
    with client.namespace.inside(), socket.socket(socket.AF_INET, kind) as one:
        one.settimeout(timeout)
        one.connect((address, ECHO))
        return answer(one, client)


def answer(one: socket.socket, client: Node) -> str:
    """What comes back over a connected socket of a client."""
    with client.namespace.inside():
        one.sendall(b"x")
        try:
            return one.recv(100).decode()
        except TimeoutError:
            return ""
