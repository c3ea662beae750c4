"""What a plan promises to everyone who reads it: names, order, privileges, addresses."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from labkit.azure.model import Azure
from labkit.lab.build import plan
from labkit.lab.load import load, load_text
from labkit.lab.model import Lab
from labkit.lab.plan.model import Node, Plan, Role

from .samples import EVERYTHING, OVERVIEW

LABS = {"overview": load(OVERVIEW), "everything": load_text(EVERYTHING, "all.lab.yml")}
PLANS = {name: plan(lab) for name, lab in LABS.items()}
every_plan = pytest.mark.parametrize("planned", PLANS.values(), ids=PLANS)


def node(planned: Plan, name: str) -> Node:
    return next(n for n in planned.nodes if n.name == name)


def test_nodes_of_the_overview() -> None:
    assert [(n.name, n.role, n.services) for n in PLANS["overview"].nodes] == [
        ("controller", Role.CONTROLLER, ("controller",)),
        ("vnet1", Role.FABRIC, ("fabric",)),
        ("rs1-0", Role.ROUTE_SERVER, ("exabgp",)),
        ("rs1-1", Role.ROUTE_SERVER, ("exabgp",)),
        ("sdwan-nva", Role.NVA, ("mgmtd", "zebra", "staticd", "bgpd")),
        ("security-nva", Role.NVA, ("mgmtd", "zebra", "staticd", "bgpd")),
        ("branch", Role.SITE, ("mgmtd", "zebra", "staticd", "bgpd")),
        ("branch-host", Role.HOST, ()),
        ("internet", Role.INTERNET, ()),
        ("vm1", Role.VM, ("agent",)),
        ("vm2", Role.VM, ("agent",)),
    ]


@every_plan
def test_the_same_lab_gives_the_same_plan(planned: Plan) -> None:
    lab = next(lab for lab in LABS.values() if lab.name == planned.lab)
    assert repr(plan(lab)) == repr(planned)


@every_plan
def test_no_node_has_more_privileges_than_it_needs(planned: Plan) -> None:
    for each in planned.nodes:
        expected: tuple[str, ...] = ("NET_ADMIN",)
        if each.role is Role.CONTROLLER:
            expected = ()
        elif each.role in {Role.NVA, Role.SITE}:
            expected = ("NET_ADMIN", "SYS_ADMIN")
        assert each.cap_add == expected, each.name


@every_plan
def test_every_bind_has_a_source_in_the_folder(planned: Plan) -> None:
    rendered = {PurePosixPath(file.path) for file in planned.files} | {PurePosixPath("lab.yml")}
    folders = {parent for path in rendered for parent in path.parents}
    for each in planned.nodes:
        for bind in each.binds:
            assert PurePosixPath(bind.source) in rendered | folders, (each.name, bind)


@every_plan
def test_every_file_is_rendered_once_and_stays_in_the_folder(planned: Plan) -> None:
    paths = [file.path for file in planned.files]
    assert len(set(paths)) == len(paths)
    assert not [p for p in paths if PurePosixPath(p).is_absolute() or ".." in PurePosixPath(p).parts]


@every_plan
def test_commands_are_plain_and_name_their_program(planned: Plan) -> None:
    for each in planned.nodes:
        for command in each.exec:
            assert not set(command) & set("|&;<>()$`\\\"'*?[]#~=%\n"), command
            assert shlex.split(command)[0] in {"ip", "nft"}, command


@every_plan
def test_only_what_forwards_has_forwarding_on(planned: Plan) -> None:
    forwarding = {Role.FABRIC, Role.FIREWALL, Role.NVA, Role.SITE}
    for each in planned.nodes:
        assert each.sysctls["net.ipv4.ip_forward"] == ("1" if each.role in forwarding else "0"), each.name
        for scope in ("all", "default"):
            for setting in ("rp_filter", "send_redirects", "accept_redirects"):
                assert each.sysctls[f"net.ipv4.conf.{scope}.{setting}"] == "0", each.name


@every_plan
def test_a_virtual_machine_has_no_route_but_its_agents(planned: Plan) -> None:
    machines = [n for n in planned.nodes if n.role is Role.VM]
    assert machines
    for each in machines:
        assert [shlex.split(c)[1] for c in each.exec] == ["address", "link"]


@every_plan
def test_platform_nodes_meet_the_controller_in_the_run_folder(planned: Plan) -> None:
    platform = {Role.FABRIC, Role.FIREWALL, Role.ROUTE_SERVER, Role.NVA, Role.VM}
    for each in planned.nodes:
        channels = [(b.source, b.read_only) for b in each.binds if b.target == "/run/labkit"]
        assert channels == ([(f"run/{each.name}", True)] if each.role in platform else []), each.name
    controller = {(b.source, b.target, b.read_only) for b in node(planned, "controller").binds}
    assert controller == {
        ("lab.yml", "/etc/labkit/lab.yml", True),
        ("run", "/run/lab", False),
        ("controller", "/var/lib/labkit", False),
    }


@every_plan
def test_healthy_means_that_every_service_is_ready(planned: Plan) -> None:
    for each in planned.nodes:
        marks = [w for w in each.healthcheck.test if w.startswith("/")] if each.healthcheck else []
        assert marks == [f"/run/labkit-ready/{service}" for service in each.services], each.name


def test_an_instance_may_bind_before_its_address_is_there() -> None:
    instance = node(PLANS["overview"], "rs1-1")
    assert instance.sysctls["net.ipv4.ip_nonlocal_bind"] == "1"
    assert instance.exec == (
        "nft -f /etc/labkit/nftables.conf",
        "ip address replace 10.1.0.5/26 dev eth0",
        "ip link set dev eth0 up",
        "ip route replace default via 10.1.0.1 dev eth0",
    )


def test_owners_of_the_overviews_addresses() -> None:
    assert PLANS["overview"].owners == {
        "10.1.0.4": "rs1-0",
        "10.1.0.5": "rs1-1",
        "10.1.1.4": "sdwan-nva",
        "100.64.0.1": "sdwan-nva",
        "10.1.2.4": "security-nva",
        "10.250.0.1": "branch",
        "100.64.0.2": "branch",
        "10.250.0.10": "branch-host",
        "198.51.100.10": "internet",
        "198.51.100.254": "internet",
        "10.1.10.4": "vm1",
        "10.1.10.5": "vm2",
    }


def context(planned: Plan, path: str) -> dict[str, object]:
    return dict(next(f for f in planned.files if f.path == path).context)


def test_an_nva_in_a_peered_virtual_network_knows_the_way_to_its_route_server() -> None:
    routes = context(PLANS["everything"], "nodes/fw4/frr.conf")["static_routes"]
    assert [(str(r.prefix), str(r.via)) for r in routes] == [  # type: ignore[attr-defined]
        ("0.0.0.0/0", "10.2.1.1"),
        ("10.1.0.0/26", "10.2.1.1"),
    ]


def test_timers_of_an_nva_go_to_all_its_sessions() -> None:
    neighbours = context(PLANS["everything"], "nodes/fw/frr.conf")["neighbours"]
    assert {(n.timers.keepalive, n.timers.hold) for n in neighbours} == {(3, 9)}  # type: ignore[attr-defined]


def test_an_instance_expects_of_a_peer_what_the_lab_file_has_of_it() -> None:
    peers = context(PLANS["everything"], "nodes/rs1-0/exabgp.conf")["peers"]
    assert [(p["name"], p["asn"], str(p["address"])) for p in peers] == [  # type: ignore[attr-defined]
        ("fw", 65001, "10.9.1.4"),
        ("fw2", 65009, "10.9.1.5"),
        ("fw3", 65003, "10.9.1.99"),
        ("fw4", 65004, "10.2.1.4"),
    ]


def test_a_lab_without_internet_sites_and_route_servers() -> None:
    bare = Lab("bare", Azure(virtual_networks=LABS["overview"].azure.virtual_networks))
    assert [n.name for n in plan(bare).nodes] == ["controller", "vnet1"]
    assert plan(bare).links == ()


def test_without_the_internet_its_port_is_gone() -> None:
    planned = plan(replace(LABS["overview"], internet=None))
    assert not [link for link in planned.links if "internet" in {link.a.node, link.b.node}]
