"""The fabric process in real kernels: what it does to packets, and what survives what."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping

import pytest

from tests.e2e.fabric_rig import BRIDGE_MAC, Fabric, Rig, in_own_namespaces, in_own_user_namespace, table, until
from tests.e2e.packets import ECHO_REPLY, ETH_P_IP, ICMP, TIME_EXCEEDED, UDP, Flow, Node

LOCAL = ("VnetLocal",)

Routes = Mapping[str, tuple[str, ...]]
"""Type and next hops by prefix."""


def vnet(rig: Rig, routes: Routes | None = None, name: str = "vnet1", second: int = 1) -> Fabric:
    """A virtual network 10.<second>.0.0/16 with a table of its own range and these routes."""
    fabric = rig.fabric(name)
    groups: dict[int, tuple[str, ...]] = {1: LOCAL}
    prefixes = {f"10.{second}.0.0/16": 1}
    for number, (prefix, group) in enumerate((routes or {}).items(), 2):
        groups[number] = group
        prefixes[prefix] = number
    fabric.tables["t1"] = table(groups, prefixes)
    return fabric


@in_own_namespaces
def test_two_vms_reach_each_other_and_only_the_bridge_answers_arp() -> None:
    with Rig() as rig:
        fabric = vnet(rig)
        vm1, vm2 = fabric.nic("vm1", "10.1.10.4/24"), fabric.nic("vm2", "10.1.20.4/24")
        fabric.start()
        assert fabric.controller.hellos == [{"type": "hello", "role": "fabric", "node": "vnet1"}]
        for address in ("10.1.10.1", "10.1.20.4", "10.1.10.99", "203.0.113.7"):
            answer = vm1.ask(address)
            assert answer is not None, address
            assert answer == BRIDGE_MAC
        # Otherwise answers wait for a random time, up to 0.8 s.
        assert " proxy_delay 0 " in fabric.namespace.run("ip", "ntable", "show", "dev", "br0")
        again = vm1.ask("10.1.10.1", to=BRIDGE_MAC)
        assert again == BRIDGE_MAC
        wire = vm2.sniff()
        reply = vm1.ping(vm2.address)
        assert reply is not None
        assert (reply.sender, reply.type, reply.ttl) == (vm2.address, ECHO_REPLY, 64)
        (request,) = [f for f in wire.frames() if f.protocol == ICMP]
        assert (request.source, request.destination, request.ttl) == (vm1.mac, vm2.mac, 64)
        assert vm1.hops(vm2.address) == [vm2.address]


@in_own_namespaces
def test_nothing_is_flooded_and_nobody_else_is_asked() -> None:
    with Rig() as rig:
        fabric = vnet(rig)
        vm1, vm2 = fabric.nic("vm1", "10.1.10.4/24"), fabric.nic("vm2", "10.1.10.5/24")
        fabric.start()
        wire = vm2.sniff()
        assert vm1.ask("10.1.10.5") is not None
        assert vm1.ask("10.1.10.5", to=vm2.mac) is None
        vm1.namespace.run("ip", "neigh", "replace", "10.1.10.77", "lladdr", "02:00:00:00:00:77", "dev", "eth0")
        vm1.namespace.run("ip", "route", "add", "239.0.0.0/8", "dev", "eth0")
        for target in ("10.1.10.77", "239.1.2.3"):
            vm1.send(target)
        assert vm1.ping(vm2.address) is not None
        frames = wire.frames()
        assert {f.ip_source for f in frames if f.ethertype == ETH_P_IP} == {vm1.address}
        assert {f.source for f in frames if f.ethertype != ETH_P_IP} <= {BRIDGE_MAC}
        counters = fabric.counters()
        assert counters["drop-vm1-unknown-destination"] == 1
        assert counters["drop-vm1-no-route"] == 1
        assert counters["drop-vm1-not-ipv4"] >= 1


@in_own_namespaces
def test_gre_and_ip_in_ip_are_not_carried() -> None:
    with Rig() as rig:
        fabric = vnet(rig)
        vm1, vm2 = fabric.nic("vm1", "10.1.10.4/24"), fabric.nic("vm2", "10.1.20.4/24")
        fabric.start()
        wire = vm2.sniff()
        for protocol in (socket.IPPROTO_GRE, socket.IPPROTO_IPIP, socket.IPPROTO_ESP):
            with vm1.namespace.inside(), socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol) as raw:
                raw.sendto(b"\0" * 20, (vm2.address, 0))
        assert vm1.ping(vm2.address) is not None
        assert {f.protocol for f in wire.frames() if f.ethertype == ETH_P_IP} == {socket.IPPROTO_ESP, ICMP}
        assert fabric.counters()["drop-vm1-protocol"] == 2


@in_own_namespaces
def test_effective_routes_decide_whatever_the_guest_picked() -> None:
    with Rig() as rig:
        fabric = vnet(
            rig,
            {
                "10.1.20.0/24": ("VirtualAppliance", "10.1.5.4"),
                "10.9.0.0/16": ("None",),
                "10.8.0.0/16": ("Internet",),
            },
        )
        fabric.tables["direct"] = table({1: LOCAL}, {"10.1.0.0/16": 1})
        vm1, vm2 = fabric.nic("vm1", "10.1.10.4/24"), fabric.nic("vm2", "10.1.20.4/24", table="direct")
        nva = fabric.nic("nva", "10.1.5.4/24", table="direct", ip_forwarding=True)
        internet = fabric.internet("10.1.0.200/24", "198.51.100.10")
        internet.namespace.run("ip", "route", "add", "10.0.0.0/8", "via", "10.1.0.1")
        fabric.start()
        wire = vm2.sniff()
        assert vm1.hops(vm2.address) == [nva.address, vm2.address]
        assert vm2.hops(vm1.address) == [vm1.address]
        through = [f for f in wire.frames() if f.ip_source == vm1.address and f.source == nva.mac]
        assert through
        assert all(f.ttl < 64 for f in through)
        vm1.send("10.9.1.1", count=3)
        vm1.send("11.0.0.1", count=2)
        vm1.send("10.1.99.99", count=4)
        until(lambda: fabric.counters()["drop-vm1-unknown-destination"] == 4, "dropped packets counted")
        assert fabric.counters()["drop-vm1-none"] == 3
        assert fabric.counters()["drop-vm1-no-route"] == 2
        seen = internet.sniff()
        vm1.send("10.8.1.1", count=2)
        assert [f.ip_destination for f in seen.frames() if f.protocol == UDP] == ["10.8.1.1"] * 2
        assert (
            internet.ping(vm1.address, timeout=1.0) is None
        )  # 10.1.0.200 has no route back in vm1's table but its own range
        internet.send("10.1.99.99")
        until(
            lambda: fabric.counters()["drop-internet-unknown-destination"] >= 1, "the Internet's stray packet counted"
        )


@in_own_namespaces
def test_without_ip_forwarding_a_nic_sends_only_as_itself() -> None:
    with Rig() as rig:
        fabric = vnet(rig)
        vm1, vm2 = fabric.nic("vm1", "10.1.10.4/24"), fabric.nic("vm2", "10.1.20.4/24")
        vm1.namespace.batch("addr add 10.77.0.1/32 dev lo")
        fabric.start()
        wire = vm2.sniff()
        assert vm1.ping(vm2.address, source="10.77.0.1", timeout=0.2) is None
        assert fabric.counters()["drop-vm1-foreign-source"] == 1
        fabric.delta(ports={"vm1": {**fabric.ports["vm1"], "ip_forwarding": True}})
        assert vm1.ping(vm2.address, source="10.77.0.1", timeout=0.2) is None  # the answer has no route
        assert {f.ip_source for f in wire.frames() if f.protocol == ICMP} == {"10.77.0.1"}


@in_own_namespaces
def test_equal_paths_are_shared_by_flows_and_a_flow_stays() -> None:
    with Rig() as rig:
        fabric = vnet(rig, {"10.9.0.0/16": ("VirtualNetworkGateway", "10.1.5.4", "10.1.5.5")})
        vm1 = fabric.nic("vm1", "10.1.10.4/24")
        fabric.tables["nva"] = table({1: LOCAL}, {"10.1.0.0/16": 1})
        nvas = [fabric.nic(f"nva{i}", f"10.1.5.{i}/24", table="nva", ip_forwarding=True) for i in (4, 5)]
        fabric.start()
        wires = [nva.sniff() for nva in nvas]

        def flows() -> list[set[int]]:
            return [{f.source_port for f in wire.frames() if f.protocol == UDP} for wire in wires]

        ports = range(20000, 20200)
        for port in ports:
            vm1.send("10.9.0.7", count=3, source_port=port)
        left, right = flows()
        assert left | right == set(ports)
        assert not left & right
        assert 60 <= len(left) <= 140
        # The same flows after the program was put in place again: the seed is the plan's.
        fabric.kill()
        fabric.launch()
        for port in ports:
            vm1.send("10.9.0.7", source_port=port)
        assert flows() == [left, right]
        for _ in range(10):
            vm1.ping("10.9.0.7", timeout=0)
        assert sorted(len([f for f in wire.frames() if f.protocol == ICMP]) for wire in wires) == [0, 10]
        # Fragments of one datagram go one way, though only the first has ports.
        for port in range(21000, 21020):
            vm1.send("10.9.0.7", size=4000, source_port=port)
        fragments = [len([f for f in wire.frames() if f.protocol == UDP]) for wire in wires]
        assert sorted(fragments) == [0, 60]


@in_own_namespaces
def test_what_an_nva_sends_to_its_own_prefix_comes_back_to_it() -> None:
    with Rig() as rig:
        fabric = vnet(rig, {"0.0.0.0/0": ("VirtualNetworkGateway", "10.1.5.4")})
        vm1 = fabric.nic("vm1", "10.1.10.4/24")
        nva = fabric.nic("nva", "10.1.5.4/24", ip_forwarding=True)
        fabric.start()
        assert vm1.hops("198.51.100.10", most=4) == [nva.address] * 4
        answer = vm1.ping("198.51.100.10", ttl=30)
        assert answer is not None
        assert (answer.sender, answer.type) == (nva.address, TIME_EXCEEDED)


def mesh(rig: Rig, *pairs: tuple[str, str]) -> dict[str, tuple[Fabric, Node]]:
    """Three virtual networks with a VM each and these peerings; every table knows every network as peered."""
    made = {}
    for second, name in enumerate(("hub1", "hub2", "spoke"), 1):
        others = {f"10.{i}.0.0/16": ("VNetPeering",) for i in (1, 2, 3) if i != second}
        fabric = vnet(rig, others, name, second)
        made[name] = (fabric, fabric.nic(f"vm-{name}", f"10.{second}.0.4/24"))
    for a, b in pairs:
        made[a][0].peer(made[b][0])
    for fabric, _ in made.values():
        fabric.start()
    return made


@in_own_namespaces
def test_full_mesh_peering_has_no_loop() -> None:
    with Rig() as rig:
        made = mesh(rig, ("hub1", "hub2"), ("hub2", "spoke"), ("spoke", "hub1"))
        nodes = [node for _, node in made.values()]
        wires = [node.sniff() for node in nodes]
        for a in nodes:
            for b in nodes:
                if a is not b:
                    assert a.hops(b.address) == [b.address]
        for node, wire in zip(nodes, wires, strict=True):
            requests = [f for f in wire.frames() if f.protocol == ICMP and f.ip_destination == node.address]
            # Two requests and the replies to two of its own: each frame came once.
            assert len(requests) == 4
            assert all(f.ttl in (1, 64) for f in requests)


@in_own_namespaces
def test_peering_is_not_transitive() -> None:
    with Rig() as rig:
        made = mesh(rig, ("hub2", "spoke"), ("spoke", "hub1"))
        hub1, hub2, spoke = (made[name][1] for name in ("hub1", "hub2", "spoke"))
        assert hub1.ping(spoke.address) is not None
        assert hub2.ping(spoke.address) is not None
        assert hub1.ping(hub2.address, timeout=0.3) is None
        assert made["hub1"][0].counters()["drop-vm-hub1-unknown-destination"] == 1
        # Even a fabric that was programmed to could not: the ports of peerings are isolated from each other.
        neighbour = {"type": "peering", "neighbours": [[spoke.address, spoke.mac], [hub2.address, hub2.mac]]}
        made["hub1"][0].delta(ports={"spoke": neighbour})
        wire = hub2.sniff()
        assert hub1.ping(hub2.address, timeout=0.3) is None
        assert wire.frames() == []


@in_own_namespaces
def test_failover_of_a_large_table_is_one_chain_and_loses_little() -> None:
    with Rig() as rig:
        fabric = rig.fabric()
        vm1 = fabric.nic("vm1", "10.1.10.4/24")
        nvas = [fabric.nic(f"nva{i}", f"10.1.5.{i}/24", table="nva", ip_forwarding=True) for i in (4, 5)]
        target = fabric.nic("target", "10.1.20.4/24", table="nva", ip_forwarding=True)
        target.namespace.batch("addr add 10.200.0.4/32 dev lo")
        # Every other /24, so that no two become one interval.
        many = {f"10.{100 + i // 128}.{2 * i % 256}.0/24": 2 for i in range(4000)}
        fabric.tables["t1"] = table(
            {1: LOCAL, 2: ("VirtualNetworkGateway", nvas[0].address)}, {"10.1.0.0/16": 1, **many, "10.200.0.4/32": 2}
        )
        fabric.tables["nva"] = table(
            {1: LOCAL, 2: ("VirtualAppliance", target.address)}, {"10.1.0.0/16": 1, "10.200.0.4/32": 2}
        )
        fabric.start()
        handle = _handles(fabric)
        with Flow(vm1, target, to="10.200.0.4", per_second=1000) as flow:
            until(lambda: len(flow.arrived) > 50, "the flow arrives")
            nvas[0].namespace.sysctl({"ip_forward": "0"})
            sent = flow.sent
            group = {"groups": {"2": {"type": "VirtualNetworkGateway", "next_hops": [nvas[1].address]}}, "routes": {}}
            seconds = fabric.delta(tables={"t1": {**group, "removed_routes": [], "removed_groups": []}})
            arrived = flow.sent
            until(lambda: max(flow.arrived) > arrived, "the flow arrives again")
        print(f"failover of 4,000 routes: {seconds * 1000:.1f} ms, {len(flow.lost)} of 1,000/s lost")
        # Nothing is lost once the change is acknowledged, and the time it took bounds the loss.
        assert all(sent - 100 <= number <= arrived + 1 for number in flow.lost)
        assert _handles(fabric) == handle


def _handles(fabric: Fabric) -> dict[str, int]:
    """The kernel's handle of every chain and map: a new one means it was made again."""
    listing = json.loads(fabric.namespace.run("nft", "-j", "-t", "list", "table", "netdev", "labkit"))["nftables"]
    return {o[k]["name"]: o[k]["handle"] for o in listing for k in o if k in ("chain", "map")}


@in_own_namespaces
def test_a_restarted_fabric_adopts_what_is_there() -> None:
    with Rig() as rig:
        fabric = vnet(rig)
        vm1, vm2 = fabric.nic("vm1", "10.1.10.4/24"), fabric.nic("vm2", "10.1.20.4/24")
        gone = fabric.nic("gone", "10.1.30.4/24")
        fabric.start()
        assert gone.ping(vm1.address) is not None
        with Flow(vm1, vm2) as flow:
            for _ in range(5):
                fabric.kill()
                (fabric.folder / "ready" / "fabric").unlink()
                flow.goes_on()
                del fabric.ports["gone"]
                fabric.launch()
                fabric.ports["gone"] = {**fabric.ports["vm1"], "mac": gone.mac, "address": gone.address}
        assert flow.sent > 100
        assert flow.lost == []
        # What is no port any more is out of the bridge and of its database.
        links = json.loads(fabric.namespace.run("ip", "-j", "link", "show", "master", "br0"))
        assert {link["ifname"] for link in links} == {"vm1", "vm2"}
        assert gone.mac not in fabric.namespace.run("bridge", "fdb", "show")


@in_own_namespaces
def test_a_restarted_controller_changes_only_what_differs() -> None:
    with Rig() as rig:
        fabric = vnet(rig, {"10.9.0.0/16": ("None",)})
        vm1, vm2 = fabric.nic("vm1", "10.1.10.4/24"), fabric.nic("vm2", "10.1.20.4/24")
        fabric.start()
        handles = _handles(fabric)
        vm1.send("10.9.0.1")
        with Flow(vm1, vm2) as flow:
            fabric.controller.stop()
            flow.goes_on()
            fabric.tables["t1"]["routes"]["10.8.0.0/16"] = 2
            fabric.controller.start()
            error, _ = fabric.controller.answer(1)
            assert error is None
        assert flow.lost == []
        assert _handles(fabric) == handles
        assert fabric.counters()["drop-vm1-none"] == 1
        vm1.send("10.8.0.1")
        assert fabric.counters()["drop-vm1-none"] == 2


@in_own_namespaces
def test_a_node_that_restarts_gets_its_port_back() -> None:
    with Rig() as rig:
        fabric = vnet(rig)
        vm1, vm2 = fabric.nic("vm1", "10.1.10.4/24"), fabric.nic("vm2", "10.1.20.4/24")
        vm2.namespace.batch("addr add 10.77.0.1/32 dev lo")
        late = dict(fabric.ports["vm2"])
        fabric.unplug(vm2)
        fabric.start()  # with a port whose interface is not there yet
        for _ in range(3):
            assert vm1.ping(vm2.address, timeout=0.1) is None
            fabric.plug(vm2)
            vm2.namespace.batch("addr add 10.1.20.4/24 dev eth0", "route add default via 10.1.20.1 dev eth0")
            until(lambda: vm1.ping(vm2.address, timeout=0.1) is not None, "vm2 is back")
            # Filtered as before: nothing with a foreign source passes.
            dropped = fabric.counters()["drop-vm2-foreign-source"]
            assert vm2.ping(vm1.address, source="10.77.0.1", timeout=0.05) is None
            assert fabric.counters()["drop-vm2-foreign-source"] == dropped + 1
            fabric.unplug(vm2)
        fabric.plug(vm2)
        vm2.namespace.batch("addr add 10.1.20.4/24 dev eth0", "route add default via 10.1.20.1 dev eth0")
        until(lambda: vm1.ping(vm2.address, timeout=0.1) is not None, "vm2 is back")
        fabric.delta(ports={"vm2": None})
        assert vm1.ping(vm2.address, timeout=0.1) is None
        assert "in-vm2" not in _handles(fabric)
        fabric.delta(ports={"vm2": late})
        assert vm1.ping(vm2.address) is not None


@in_own_namespaces
def test_tables_come_go_and_change_by_deltas() -> None:
    with Rig() as rig:
        fabric = vnet(rig)
        vm1, vm2 = fabric.nic("vm1", "10.1.10.4/24"), fabric.nic("vm2", "10.1.20.4/24")
        nva = fabric.nic("nva", "10.1.5.4/24", ip_forwarding=True)
        fabric.start()
        appliance = {"type": "VirtualAppliance", "next_hops": [nva.address]}
        change = {"groups": {"7": appliance}, "routes": {"10.1.20.0/25": 7}, "removed_routes": [], "removed_groups": []}
        fabric.delta(tables={"t1": change})
        # The NVA has the same table, and so is its own next hop.
        assert vm1.hops(vm2.address, most=2) == [nva.address] * 2
        own = table({1: LOCAL}, {"10.1.0.0/16": 1})
        fabric.delta(ports={"nva": {**fabric.ports["nva"], "table": "t2"}}, new_tables={"t2": own})
        assert vm1.hops(vm2.address, most=2) == [nva.address, vm2.address]
        back = {"groups": {}, "routes": {}, "removed_routes": ["10.1.20.0/25"], "removed_groups": [7]}
        fabric.delta(ports={"nva": fabric.ports["nva"]}, tables={"t1": back, "t2": None})
        assert vm1.hops(vm2.address) == [vm2.address]
        assert not [name for name in _handles(fabric) if "t2" in name or name.endswith("-7")]


@in_own_namespaces
def test_refusals_are_reported_and_leave_things_as_they_are() -> None:
    with Rig() as rig:
        fabric = vnet(rig)
        vm1, vm2 = fabric.nic("vm1", "10.1.10.4/24"), fabric.nic("vm2", "10.1.20.4/24")
        fabric.start()
        broken = {"groups": {}, "routes": {"10.9.0.0/16": 99}, "removed_routes": [], "removed_groups": []}
        fabric.controller.send({"type": "delta", "ports": {}, "tables": {"t1": broken}})
        error, _ = fabric.controller.answer(2)
        assert error is not None
        assert "groups that do not exist" in error
        assert vm1.ping(vm2.address) is not None
        # It comes back for a snapshot of its own accord.
        error, _ = fabric.controller.answer(1)
        assert error is None
        assert len(fabric.controller.hellos) == 2
        # Someone else's hand in the kernel: a change that no longer fits is made by replacing the whole.
        fabric.namespace.run("nft", "flush", "ruleset")
        fabric.delta(tables={"t1": {"groups": {"2": {"type": "None", "next_hops": []}}, "routes": {"10.9.0.0/16": 2}}})
        vm1.send("10.9.0.1")
        assert fabric.counters()["drop-vm1-none"] == 1


@in_own_namespaces
def test_wrong_sysctls_are_named() -> None:
    with Rig() as rig:
        fabric = vnet(rig)
        fabric.nic("vm1", "10.1.10.4/24")
        fabric.namespace.sysctl({"conf/default/proxy_arp_pvlan": "0"})
        with pytest.raises(AssertionError, match="proxy_arp_pvlan=1"):
            fabric.start()
        assert not (fabric.folder / "ready" / "fabric").exists()


@in_own_namespaces
def test_a_small_lab_works_once_it_is_ready() -> None:
    with Rig() as rig:
        fabric = vnet(rig)
        nodes = [fabric.nic(f"vm{i}", f"10.1.10.{i}/24") for i in range(4, 14)]
        seconds = fabric.start()
        assert all(nodes[0].ping(node.address) for node in nodes[1:])
        print(f"10 ports: {seconds * 1000:.0f} ms from snapshot to ready")


@pytest.mark.parametrize("number", [1000, 10000])
@in_own_namespaces
def test_many_routes(number: int) -> None:
    many_routes(number)


@in_own_user_namespace
def test_many_routes_and_ports_where_transactions_must_be_small() -> None:
    many_routes(10000)
    with Rig() as rig:
        fabric = vnet(rig)
        first, *_, last = [fabric.nic(f"vm{i}", f"10.1.10.{i}/24") for i in range(4, 104)]
        fabric.start()
        assert first.ping(last.address) is not None


def many_routes(number: int) -> None:
    with Rig() as rig:
        fabric = vnet(rig, {"10.9.0.0/16": ("None",)})
        vm1 = fabric.nic("vm1", "10.1.10.4/24")
        fabric.tables["nva"] = table({1: LOCAL}, {"10.1.0.0/16": 1})
        nva = fabric.nic("nva", "10.1.5.4/24", table="nva", ip_forwarding=True)
        fabric.start()
        routes = {f"{20 + i // 32768}.{i // 128 % 256}.{2 * i % 256}.0/24": 3 for i in range(number)}
        first, *_, last = routes
        gateway = {"3": {"type": "VirtualNetworkGateway", "next_hops": [nva.address]}}
        nothing: dict[str, list[str]] = {"removed_routes": [], "removed_groups": []}
        wire = nva.sniff()

        def arrives() -> bool:
            for prefix in (first, last):
                vm1.send(prefix.replace(".0/24", ".9"))
            return len([f for f in wire.frames() if f.protocol == UDP]) == 2

        with Flow(vm1, nva, per_second=500) as flow:
            come = fabric.delta(tables={"t1": {"groups": gateway, "routes": routes, **nothing}})
            one = fabric.delta(tables={"t1": {"groups": {}, "routes": {}, **nothing, "removed_routes": [first]}})
            fabric.kill()
            everything = {"10.1.0.0/16": 1, **routes}
            fabric.tables["t1"] = table({1: LOCAL, 3: ("VirtualNetworkGateway", nva.address)}, everything)
            again = fabric.launch()
        assert flow.lost == []
        wire.frames()
        assert arrives()
        print(
            f"{number} routes: added in {come * 1000:.0f} ms, one removed in {one * 1000:.0f} ms, "
            f"all replaced after a restart in {again * 1000:.0f} ms"
        )
