"""The overview lab in real kernels: it holds, and whatever breaks in it, the machines' FIBs follow and come back."""

from __future__ import annotations

import json
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from labkit.azure.rules.effective import listened_instance
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.probes import ping, traceroute
from labkit.pytest import Boot, RunningLab
from tests.e2e import bgp_fuzzer
from tests.e2e.in_lab import SCAN, kill_service, off, problems, put_table, reaches, run, service_pid, traced
from tests.e2e.waiting import SOON, eventually
from tests.extent import LONG

Fib = dict[IPv4Network, tuple[IPv4Address, ...]]

BRANCH, DEFAULT = IPv4Network("10.250.0.0/16"), IPv4Network("0.0.0.0/0")
SDWAN, SECURITY = IPv4Address("10.1.1.4"), IPv4Address("10.1.2.4")
GATEWAY = IPv4Address("10.1.10.1")
BRANCH_HOST, INTERNET = IPv4Address("10.250.0.10"), IPv4Address("198.51.100.10")
VMS = ("vm1", "vm2")


@pytest.fixture(scope="module")
def lab(labkit_lab: Boot, overview_file: Path) -> RunningLab:
    return labkit_lab(overview_file)


@pytest.fixture(autouse=True)
def _whole_again(lab: RunningLab) -> Iterator[None]:
    """Every test leaves the lab as it found it, and that is checked."""
    yield
    assert problems(lab, SOON) == []


def fib(lab: RunningLab, vm: str) -> Fib:
    """The gateways of a VM's kernel routes, by prefix."""
    return {row.prefix: row.gateways for row in LiveState(lab.lab, lab.client).kernel(vm)}


def fibs_become(lab: RunningLab, prefix: IPv4Network, gateway: IPv4Address | None) -> None:
    """Wait until every VM's kernel has the prefix via the gateway; None: has it not."""
    wanted = None if gateway is None else (gateway,)
    eventually(lambda: [fib(lab, vm).get(prefix) for vm in VMS], lambda hops: hops == [wanted] * len(VMS))


def vtysh(lab: RunningLab, node: str, *commands: str) -> str:
    done = lab.client.run(node, "vtysh", *(part for c in commands for part in ("-c", c)))
    assert done.rc == 0, done.stderr
    return done.stdout


def announce_default(lab: RunningLab, *, yes: bool) -> None:
    command = ("" if yes else "no ") + "network 0.0.0.0/0"
    vtysh(lab, "security-nva", "configure terminal", "router bgp 65002", "address-family ipv4 unicast", command)


def instance_up(lab: RunningLab, instance: str) -> bool:
    """Whether the controller counts the instance as up, and not as still joining the other one."""
    known: dict[str, bool] = lab.client.get("status")["instances"][instance]
    return known["up"] and not known["joining"]


def established(lab: RunningLab, instance: str) -> int:
    """How many sessions of the instance are up."""
    sessions = lab.client.get("status")["sessions"]
    mine = [s for s in sessions if f"{s['route_server']}-{s['instance']}" == instance]
    return sum(session["state"] == "Established" for session in mine)


@contextmanager
def route_changes(lab: RunningLab, vm: str) -> Iterator[list[str]]:
    """What the VM's kernel changed in its routes while the context lasted, as `ip monitor route` prints it."""
    seen: list[str] = []
    process = lab.client.runtime.stream(lab.client.record.lab, vm, ("ip", "monitor", "route"))
    assert process.stdout is not None
    lines = iter(process.stdout.readline, b"")

    def mark(marker: str) -> None:
        run(lab, vm, "ip", "route", "replace", "blackhole", marker, "proto", "static")
        run(lab, vm, "ip", "route", "delete", "blackhole", marker)

    def until(marker: str) -> Iterator[str]:
        for line in lines:
            text = line.decode().strip()
            if marker in text:
                return
            if "203.0.113." not in text:
                yield text

    # Whether the monitor listens already can't be asked. It does once it prints what we do.
    while not select.select([process.stdout], [], [], 0.1)[0]:
        mark("203.0.113.1")
    try:
        yield seen
        mark("203.0.113.2")
        seen += until("203.0.113.2")
    finally:
        process.kill()
        process.wait()


@pytest.mark.both_runtimes
def test_every_proof_holds(lab: RunningLab) -> None:
    outcomes = lab.verify(within=SOON)
    assert len(outcomes) > len(lab.lab.proofs)
    assert [o.problem for o in outcomes if not o.ok] == []


def test_vms_hold_learned_routes_under_the_agents_own_protocol(lab: RunningLab) -> None:
    for vm in VMS:
        rows = {r.prefix: r for r in LiveState(lab.lab, lab.client).kernel(vm)}
        assert rows[BRANCH].gateways == (SDWAN,)
        assert rows[DEFAULT].gateways == (SECURITY,)
        assert rows[BRANCH].protocol == rows[DEFAULT].protocol == "65"


def test_traceroute_shows_the_appliance_first_and_no_fabric(lab: RunningLab) -> None:
    assert traceroute(lab.client, "vm1", BRANCH_HOST)[0] == SDWAN
    assert traceroute(lab.client, "vm1", INTERNET) == [SECURITY, INTERNET]
    vm2 = lab.lab.azure.nic["vm2"].address
    assert traceroute(lab.client, "vm1", vm2) == [vm2], "inside a subnet there is no hop at all"


@pytest.mark.both_runtimes
def test_trace_predicts_what_traceroute_sees(lab: RunningLab) -> None:
    for source, target in (("vm1", "branch"), ("vm2", "internet"), ("branch-host", "vm1"), ("vm1", "vm2")):
        traced(lab, source, target, "delivered")


def test_trace_to_nowhere(lab: RunningLab) -> None:
    assert traced(lab, "vm1", "203.0.113.9", "dropped").predicted == (SECURITY,)


@pytest.mark.both_runtimes
def test_nodes_speak_no_ipv6(lab: RunningLab) -> None:
    status = lab.client.runtime.inspect(lab.lab.name)
    assert status
    for node in status.nodes:
        links = json.loads(run(lab, node.name, "ip", "-6", "-j", "address", "show", "scope", "link"))
        assert [link["ifname"] for link in links if link] == [], node.name


@pytest.mark.both_runtimes
def test_tools_that_people_reach_for(lab: RunningLab) -> None:
    """A small web server, a port that listens, and throughput, from one machine to another."""
    address = str(lab.lab.azure.nic["vm2"].address)
    servers = [
        lab.client.runtime.stream(lab.client.record.lab, "vm2", argv)
        for argv in (("python3", "-m", "http.server", "80"), ("nc", "-lk", "5000"), ("iperf3", "--server"))
    ]
    try:
        for port in ("80", "5000", "5201"):
            eventually(partial(lab.client.run, "vm1", "nc", "-z", address, port), lambda done: done.rc == 0)
        answer = run(
            lab, "vm1", "curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", f"{address}/"
        )
        assert answer == "200"
        report = json.loads(run(lab, "vm1", "iperf3", "--json", "--bytes", "1M", "--client", address))
        assert report["end"]["sum_sent"]["bytes"] >= 1 << 20
    finally:
        for server in servers:
            server.kill()
            server.wait()
    for program in ("drill", "mtr", "tcpdump", "traceroute", "ss"):
        run(lab, "vm1", "which", program)


def test_withdraw_and_announce_again(lab: RunningLab) -> None:
    announce_default(lab, yes=False)
    fibs_become(lab, DEFAULT, GATEWAY)
    assert fib(lab, "vm1")[BRANCH] == (SDWAN,)
    announce_default(lab, yes=True)
    fibs_become(lab, DEFAULT, SECURITY)


def test_a_killed_bgp_daemon_resets_its_sessions_at_once(lab: RunningLab) -> None:

    def downs() -> list[str]:
        return [e.text for e in lab.client.events(follow=False) if e.text.startswith("session security-nva down")]

    before = len(downs())
    with route_changes(lab, "vm1") as changes:
        kill_service(lab, "security-nva", "bgpd")
        eventually(downs, lambda now: len(now) == before + 2)
        fibs_become(lab, DEFAULT, SECURITY)
        eventually(lambda: problems(lab, 0), lambda found: not found)
    assert any(str(GATEWAY) in change for change in changes), f"the default never left the appliance: {changes}"
    assert not any("hold" in text.casefold() for text in downs()[before:]), "a reset, not an expired hold time"


def test_whom_a_route_server_refuses_is_in_the_log_with_the_reason(lab: RunningLab) -> None:
    """A machine that is not registered as a peer, and a second connection of one whose session is up."""
    connect = "import socket; socket.create_connection(('10.1.0.4', 179), 30).recv(100)"
    for machine in ("vm1", "security-nva"):
        run(lab, machine, "python3", "-c", connect)
    wanted = {
        "session 10.1.10.4 not established: no peer has this address (peer de-configured)",
        "session security-nva (10.1.2.4) not established: connection collision resolution",
    }
    eventually(lambda: {e.text for e in lab.client.events(follow=False)}, lambda texts: wanted <= texts)


def test_a_hostile_appliance_harms_nobody_else(lab: RunningLab) -> None:
    """BGP by the cases of RFC 7606 from the firewall's own address; what others receive is in test_bgp_fuzz.py."""
    platform = (("rs1-0", "exabgp"), ("rs1-1", "exabgp"), ("controller", "controller"), ("vm1", "agent"))
    processes = [service_pid(lab, *which) for which in platform]
    script = Path(bgp_fuzzer.__file__).read_text(encoding="utf-8")
    arguments = ("10.1.0.4", str(SECURITY), "65002", "10.1.0.0/16", "7606", "800")
    drops = dropped_sessions(lab, "sdwan-nva")
    run(lab, "security-nva", "s6-svc", "-d", "-wD", f"{SCAN}/bgpd")
    try:
        hostile = lab.client.runtime.stream(
            lab.client.record.lab, "security-nva", ("python3", "-c", script, *arguments)
        )
        assert hostile.stdin is not None
        assert hostile.stdout is not None
        hostile.stdin.close()  # it waits for nobody
        *_, summary = (json.loads(line) for line in hostile.stdout)
        assert summary["complaints"] == []
        assert summary["resets"] > 10
    finally:
        run(lab, "security-nva", "s6-svc", "-u", f"{SCAN}/bgpd")
    fibs_become(lab, DEFAULT, SECURITY)
    assert [fib(lab, vm)[BRANCH] for vm in VMS] == [(SDWAN,)] * len(VMS)
    assert [service_pid(lab, *which) for which in platform] == processes
    assert dropped_sessions(lab, "sdwan-nva") == drops


def dropped_sessions(lab: RunningLab, node: str) -> list[int]:
    """How often each session of an appliance has ended."""
    shown = json.loads(vtysh(lab, node, "show bgp neighbors json"))
    return [neighbor["connectionsDropped"] for neighbor in shown.values()]


@pytest.mark.both_runtimes
def test_power_off_is_silent_until_the_hold_time_ends(lab: RunningLab) -> None:
    began = time.monotonic()
    with off(lab, "sdwan-nva"):
        fibs_become(lab, BRANCH, None)
        assert time.monotonic() - began > 1.5, "the hold time is three seconds, its keepalives one"
        sessions = [s for s in lab.client.get("status")["sessions"] if s["peer"] == "sdwan-nva"]
        assert [s["reason"] for s in sessions] == 2 * ["hold timer expired"], "nobody said goodbye"
        assert not ping(lab.client, "vm1", BRANCH_HOST)
    fibs_become(lab, BRANCH, SDWAN)


@pytest.mark.both_runtimes
def test_one_instance_down_its_listeners_take_the_others_routes(lab: RunningLab) -> None:
    assert {listened_instance(vm) for vm in VMS} == {0, 1}, "one VM listens to each instance"
    for instance in ("rs1-0", "rs1-1"):
        with route_changes(lab, "vm1") as one, route_changes(lab, "vm2") as two:
            with off(lab, instance):
                eventually(partial(instance_up, lab, instance), lambda up: not up)
                for vm in VMS:
                    assert fib(lab, vm)[BRANCH] == (SDWAN,)
                    assert fib(lab, vm)[DEFAULT] == (SECURITY,)
                assert ping(lab.client, "vm1", BRANCH_HOST)
            eventually(partial(instance_up, lab, instance), lambda up: up)
            eventually(partial(established, lab, instance), lambda peers: peers == 2)
        assert one == two == [], "both instances say the same: no route changes"


@pytest.mark.parametrize("signal", ["-t", "-k"], ids=["ended", "killed"])
def test_no_route_changes_while_an_instances_speaker_goes_and_returns(lab: RunningLab, signal: str) -> None:
    service = "/run/labkit-services/exabgp"
    with route_changes(lab, "vm1") as one, route_changes(lab, "vm2") as two:
        for instance in ("rs1-0", "rs1-1") * (10 if LONG else 2):
            run(lab, instance, "s6-svc", signal, "-d", service)
            eventually(partial(instance_up, lab, instance), lambda up: not up)
            run(lab, instance, "s6-svc", "-u", service)
            eventually(partial(instance_up, lab, instance), lambda up: up)
            eventually(partial(established, lab, instance), lambda peers: peers == 2)
    assert one == two == [], "both instances say the same: no route changes"


def installed(lab: RunningLab, node: str) -> set[IPv4Network]:
    """What an appliance's zebra takes for installed in the kernel."""
    shown = json.loads(vtysh(lab, node, "show ip route json"))
    return {IPv4Network(prefix) for prefix, routes in shown.items() if any(route.get("installed") for route in routes)}


@pytest.mark.parametrize(("interface", "lost"), [("eth0", DEFAULT), ("eth1", BRANCH)], ids=["eth0", "eth1"])
def test_a_link_that_flaps_leaves_an_appliance_with_its_routes(
    lab: RunningLab, interface: str, lost: IPv4Network
) -> None:
    before = fib(lab, "sdwan-nva")
    assert {DEFAULT, BRANCH} < before.keys()
    for _ in range(3):
        run(lab, "sdwan-nva", "ip", "link", "set", interface, "down")
        eventually(lambda: installed(lab, "sdwan-nva"), lambda now: lost not in now)
        assert fib(lab, "sdwan-nva").keys() < before.keys()
        run(lab, "sdwan-nva", "ip", "link", "set", interface, "up")
        eventually(lambda: fib(lab, "sdwan-nva"), lambda now: now == before)


def test_a_link_that_flaps_faster_than_zebra_looks(lab: RunningLab) -> None:
    before = fib(lab, "sdwan-nva")
    flap = "ip link set eth0 down; ip route show default; ip link set eth0 up"
    for _ in range(10):
        assert run(lab, "sdwan-nva", "sh", "-c", flap) == ""  # the kernel has lost its routes
        eventually(lambda: fib(lab, "sdwan-nva"), lambda now: now == before)
    assert problems(lab, SOON) == []


def pause(lab: RunningLab, node: str, service: str) -> None:
    """Freeze a service, and wait until it is frozen."""
    run(lab, node, "s6-svc", "-p", f"{SCAN}/{service}")
    state = ("ps", "-o", "stat=", "-p", service_pid(lab, node, service))
    eventually(lambda: run(lab, node, *state), lambda now: now.startswith("T"))


def test_verify_looks_at_the_kernels_of_routers(lab: RunningLab) -> None:
    title, hint = "kernel of sdwan-nva agrees with its BGP and static routes", "Look: labkit routes sdwan-nva"
    (row,) = run(lab, "sdwan-nva", "ip", "route", "show", str(BRANCH)).splitlines()
    pause(lab, "sdwan-nva", "zebra")  # or it would mend that at once
    run(lab, "sdwan-nva", "ip", "route", "delete", str(BRANCH))
    missing = f"{BRANCH} is used by BGP and missing from the kernel of sdwan-nva. {hint}"
    assert f"{title}: {missing}" in problems(lab, 0)
    run(lab, "sdwan-nva", "ip", "route", "add", *row.split())
    run(lab, "sdwan-nva", "s6-svc", "-c", f"{SCAN}/zebra")
    assert problems(lab, SOON) == []
    run(lab, "sdwan-nva", "ip", "route", "add", "192.0.2.0/24", "via", "10.1.1.1", "proto", "bgp")
    stale = f"192.0.2.0/24 is BGP's no longer, and still in the kernel of sdwan-nva. {hint}"
    assert f"{title}: {stale}" in problems(lab, 0)
    run(lab, "sdwan-nva", "ip", "route", "delete", "192.0.2.0/24")
    (row,) = run(lab, "sdwan-nva", "ip", "-N", "route", "show", "default").splitlines()
    pause(lab, "sdwan-nva", "zebra")
    run(lab, "sdwan-nva", "ip", "route", "delete", "default")
    missing = f"{DEFAULT} is a static route and missing from the kernel of sdwan-nva. {hint}"
    assert f"{title}: {missing}" in problems(lab, 0)
    run(lab, "sdwan-nva", "ip", "route", "add", *row.split())
    run(lab, "sdwan-nva", "s6-svc", "-c", f"{SCAN}/zebra")
    assert problems(lab, SOON) == []


def test_a_virtual_network_that_was_off_leaves_an_appliance_with_its_routes(lab: RunningLab) -> None:
    before = fib(lab, "sdwan-nva")
    with off(lab, "vnet1"):
        eventually(lambda: fib(lab, "sdwan-nva"), lambda now: now.keys() < before.keys())
    eventually(lambda: fib(lab, "sdwan-nva"), lambda now: now == before)


def test_both_instances_down_bgp_routes_go(lab: RunningLab) -> None:
    with off(lab, "rs1-0", "rs1-1"):
        fibs_become(lab, BRANCH, None)
        fibs_become(lab, DEFAULT, GATEWAY)
        reaches(lab.client, "vm1", INTERNET, what="straight out, as Azure's default has it")
    fibs_become(lab, BRANCH, SDWAN)
    fibs_become(lab, DEFAULT, SECURITY)


@pytest.mark.both_runtimes
def test_self_loop_without_the_user_defined_route(lab: RunningLab) -> None:
    put_table(lab, "direct-internet")
    eventually(lambda: ping(lab.client, "vm1", INTERNET), lambda answered: not answered)
    found = traced(lab, "vm1", "internet", "dropped")
    assert found.real == (SECURITY,), "with SNAT the packet comes back to its own source, and Linux drops it"
    put_table(lab, "direct-internet", {"0.0.0.0/0": "Internet"})
    eventually(lambda: ping(lab.client, "vm1", INTERNET), lambda answered: answered)


def test_a_wrong_next_hop_in_a_kernel_fails_verify(lab: RunningLab) -> None:
    route = ("ip", "route", "replace", "10.250.0.0/16")
    run(lab, "vm1", *route, "via", "10.1.2.4", "dev", "eth0", "onlink", "proto", "65")
    found = problems(lab, 0)
    assert any("10.250.0.0/16" in problem and "vm1" in problem for problem in found), found
    kill_service(lab, "vm1", "agent")


@pytest.mark.both_runtimes
@pytest.mark.parametrize(
    ("node", "service"), [("controller", "controller"), ("vm1", "agent"), ("vnet1", "fabric"), ("vm2", "agent")]
)
def test_a_killed_platform_process_heals_without_a_wrong_route(lab: RunningLab, node: str, service: str) -> None:
    with route_changes(lab, "vm1") as one, route_changes(lab, "vm2") as two:
        kill_service(lab, node, service)
        assert ping(lab.client, "vm1", BRANCH_HOST)
        eventually(lambda: problems(lab, 0), lambda found: not found)
    assert one == two == []


def test_a_controller_that_died_missed_nothing(lab: RunningLab) -> None:
    run(lab, "controller", "s6-svc", "-d", "-wD", f"{SCAN}/controller")
    announce_default(lab, yes=False)
    assert fib(lab, "vm1")[DEFAULT] == (SECURITY,), "without a controller FIBs stay as they are"
    run(lab, "controller", "s6-svc", "-u", f"{SCAN}/controller")
    fibs_become(lab, DEFAULT, GATEWAY)
    announce_default(lab, yes=True)
    fibs_become(lab, DEFAULT, SECURITY)


def test_a_killed_speaker_comes_back(lab: RunningLab) -> None:
    with route_changes(lab, "vm1") as one, route_changes(lab, "vm2") as two:
        kill_service(lab, "rs1-0", "exabgp")
        eventually(lambda: problems(lab, 0), lambda found: not found)
    assert one == two == [], "its listeners have the other instance's routes meanwhile"


@pytest.mark.parametrize("generation", [1, 2])
def test_a_killed_api_process_keeps_its_sessions(lab: RunningLab, generation: int) -> None:
    """ExaBGP's child keeps its own child alive; either may die."""

    def resets() -> int:
        neighbour = json.loads(vtysh(lab, "sdwan-nva", "show bgp neighbors 10.1.0.4 json"))["10.1.0.4"]
        return int(neighbour["connectionsDropped"])

    def pid() -> str:
        found = run(lab, "rs1-0", "pgrep", "--oldest", "--full", "[-]m labkit.routeserver.exabgp")
        for _ in range(generation):
            found = lab.client.run("rs1-0", "ps", "-o", "pid=", "--ppid", found).stdout.strip()
        return found

    before = resets()
    victim = pid()
    with route_changes(lab, "vm1") as one, route_changes(lab, "vm2") as two:
        run(lab, "rs1-0", "kill", "-9", victim)
        eventually(pid, lambda now: now not in ("", victim))
        eventually(lambda: problems(lab, 0), lambda found: not found)
    assert one == two == []
    assert resets() == before
