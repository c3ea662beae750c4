from __future__ import annotations

from dataclasses import asdict
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from labkit.azure.model import (
    Assumptions,
    BgpPeer,
    Firewall,
    FirewallRule,
    HubRoutingPreference,
    LoadBalancer,
    NextHopType,
    OwnRangePolicy,
    Peering,
    Probe,
    ReservedBlocks,
    RouteTable,
    RuleAction,
    RuleProtocol,
    UserRoute,
    VpnNvaTie,
)
from labkit.azure.rules.validation import problems
from labkit.daemons.speaker import BgpTimers
from labkit.errors import InvalidInput
from labkit.lab import proofs
from labkit.lab.file.problems import LabFileError
from labkit.lab.kinds import assumptions
from labkit.lab.load import Loaded, load, load_text, read, read_text
from labkit.lab.model import Snat
from labkit.resources import topologies

from .samples import EVERYTHING, OVERVIEW


def refused(text: str) -> LabFileError:
    with pytest.raises(LabFileError) as caught:
        load_text(text, "x.yml")
    return caught.value


def test_overview() -> None:
    loaded = read(OVERVIEW)
    lab = loaded.lab
    assert loaded.warnings == ()
    assert loaded.name == str(OVERVIEW)
    assert problems(lab.azure) == ()
    assert lab.name == "overview"
    assert [n.name for n in lab.azure.nics] == ["sdwan-nva", "security-nva", "vm1", "vm2"]
    assert lab.azure.nic["security-nva"].ip_forwarding
    assert not lab.azure.nic["vm1"].ip_forwarding
    assert lab.azure.route_servers[0].peers == (
        BgpPeer("sdwan-nva", 65001, IPv4Address("10.1.1.4")),
        BgpPeer("security-nva", 65002, IPv4Address("10.1.2.4")),
    )
    assert lab.azure.appliance["security-nva"].advertises == (IPv4Network("0.0.0.0/0"),)
    assert lab.nva["security-nva"].snat == {"security-nva": Snat.PUBLIC}
    assert lab.nva["sdwan-nva"].route_servers == {"rs1": "sdwan-nva"}
    assert lab.nva["sdwan-nva"].timers == BgpTimers(60, 180)
    assert [(w.router, w.site) for w in lab.wan_links] == [("sdwan-nva", "branch")]
    assert lab.site["branch"].host.name == "branch-host"


def test_overview_proves_every_kind_of_claim() -> None:
    claims = [p.claim for p in load(OVERVIEW).proofs]
    kinds = {type(c) for c in claims}
    assert kinds == {
        proofs.SessionClaim,
        proofs.LearnedRouteClaim,
        proofs.AdvertisedRouteClaim,
        proofs.EffectiveRouteClaim,
        proofs.KernelRouteClaim,
        proofs.PingClaim,
        proofs.PathClaim,
        proofs.Absent,
    }
    lines = OVERVIEW.read_text().splitlines()
    assert all("- " in lines[p.line - 1] for p in load(OVERVIEW).proofs)
    # Positive claims first: what is absent proves something only once the rest is there.
    assert [isinstance(c, proofs.Absent) for c in claims] == sorted(isinstance(c, proofs.Absent) for c in claims)


def test_every_topology_loads_without_warnings() -> None:
    found = {p.parent.name: read(p) for p in topologies().glob("*/lab.yml")}
    assert "overview" in found
    assert {name: loaded.warnings for name, loaded in found.items() if loaded.warnings} == {}
    assert {name: loaded.lab.name for name, loaded in found.items()} == {name: name for name in found}


def test_every_form_of_the_file() -> None:
    lab = load_text(EVERYTHING, "all.yml")
    azure = lab.azure
    assert problems(azure) == ()
    assert azure.peerings == (
        Peering("hub", "spoke", allow_gateway_transit=True, allow_forwarded_traffic=False, is_global=True),
        Peering("spoke", "hub", use_remote_gateways=True, allow_forwarded_traffic=False, is_global=True),
    )
    appliance = NextHopType.VIRTUAL_APPLIANCE
    assert azure.route_tables == (
        RouteTable(
            "direct",
            (
                UserRoute(IPv4Network("0.0.0.0/0"), NextHopType.INTERNET),
                UserRoute(IPv4Network("10.2.0.0/16"), appliance, IPv4Address("10.9.1.4")),
                UserRoute(IPv4Network("10.3.0.0/16"), appliance, IPv4Address("10.9.1.77")),
                UserRoute(IPv4Network("10.4.0.0/16"), NextHopType.NONE),
                UserRoute(IPv4Network("10.5.0.0/16"), appliance, azure.nic["vm1"].address),
            ),
            disable_bgp_route_propagation=True,
        ),
    )
    server = azure.route_servers[0]
    assert [(p.name, p.asn, str(p.address)) for p in server.peers] == [
        ("fw", 65001, "10.9.1.4"),
        ("fw2", 65009, "10.9.1.5"),
        ("fw3", 65003, "10.9.1.99"),
        ("fw4", 65004, "10.2.1.4"),
    ]
    assert server.branch_to_branch
    assert server.hub_routing_preference is HubRoutingPreference.AS_PATH
    assert server.own_ranges is OwnRangePolicy.KEEP
    assert server.routes_per_peer == 200
    assert server.assumptions == Assumptions(
        route_server_subnet_minimum=26,
        spoke_community=False,
        nva_relay_community=False,
        honours_no_export=False,
        expressroute_wins_ties=False,
        vpn_nva_tie=VpnNvaTie.NVA,
        preference_needs_branch_to_branch=True,
    )
    assert azure.reserved_blocks is ReservedBlocks.IN_2021
    assert lab.nva["fw"].timers == BgpTimers(3, 9)
    assert not azure.nic["fw"].ip_forwarding
    assert azure.nic["vm2"].ip_forwarding
    assert azure.nic["vm2"].mac == "00:0d:3a:00:00:0a"
    assert lab.azure.appliance["fw4"].advertises == (IPv4Network("10.0.0.0/8"),)
    assert azure.load_balancers == (
        LoadBalancer("lb1", "hub", "nva", IPv4Address("10.9.1.7"), ("fw", "fw2"), Probe(179)),
        LoadBalancer("lb2", "spoke", "work", IPv4Address("10.2.1.77"), ("vm1",), Probe(22, 10, 1)),
        LoadBalancer("azfw", "hub", "AzureFirewallSubnet", IPv4Address("10.1.1.4"), ("azfw-0", "azfw-1"), Probe(8001)),
    )
    both, hub, spoke = (RuleProtocol.TCP, RuleProtocol.UDP), IPv4Network("10.9.0.0/16"), IPv4Network("10.2.0.0/16")
    rules = (
        FirewallRule(RuleAction.ALLOW, (spoke,), (), (RuleProtocol.TCP,), ("443",)),
        FirewallRule(RuleAction.DENY, (), (hub,), both, ("22", "8000-8080")),
        FirewallRule(RuleAction.ALLOW),
    )
    assert azure.firewalls == (Firewall("azfw", "hub", rules),)
    assert [str(azure.nic[node].address) for node in ("azfw-0", "azfw-1")] == ["10.1.1.5", "10.1.1.6"]
    assert lab.internet is not None
    assert str(lab.internet.host) == "198.51.100.20"


def test_lab_files_can_say_every_assumption_and_none() -> None:
    said = {name: field.default for name, field in assumptions.Assumptions.model_fields.items()}
    assert said == {**asdict(Assumptions()), "reserved_blocks": ReservedBlocks.TODAY}
    assert load(OVERVIEW).azure.route_servers[0].assumptions == Assumptions()


def test_proofs_of_every_form() -> None:
    made = load_text(EVERYTHING, "all.yml").proofs
    paths = [p.claim.as_path for p in made if isinstance(p.claim, proofs.LearnedRouteClaim)]
    assert paths == [(65004, 65010), (65004, 65010), (65004,), ()]
    assert made[4].claim == proofs.EffectiveRouteClaim("vm1", IPv4Network("0.0.0.0/0"), "None")
    assert made[5].claim == proofs.KernelRouteClaim("vm1", IPv4Network("10.0.0.0/8"), ("fw4", "10.9.1.4"))
    # Packets of a site come from its host.
    assert made[6] == proofs.Proof(proofs.PingClaim("branch-host", IPv4Address("10.2.1.200")), made[6].line, 2.5)
    assert made[7].claim == proofs.PathClaim("branch-host", "branch")
    assert made[8].claim == proofs.Absent(proofs.SessionClaim("rs1", "branch"))


def test_empty_sections_are_as_good_as_none() -> None:
    text = "name: lab\n" + "".join(
        f"{section}:\n"
        for section in (
            "virtual_networks",
            "peerings",
            "route_tables",
            "route_servers",
            "nvas",
            "sites",
            "virtual_machines",
            "proofs",
        )
    )
    assert load_text(text, "x").azure.virtual_networks == ()


def test_error_shape() -> None:
    error = refused("name: lab\nvirtual_machines: {vm1: a/b}\nsites: {x: {}}\n")
    assert isinstance(error, InvalidInput)
    assert error.exit_code == 2
    first, *_, last = error.message.splitlines()
    assert first == 'x.yml:2: virtual machine vm1: there is no virtual network "a".'
    assert last == "3 errors. Nothing was created."
    assert [p.line for p in error.problems] == [2, 3, 3]
    assert all(p.remedy.endswith(("?", ".", "]", ")")) for p in error.problems)


def test_one_error_is_singular() -> None:
    assert refused("name: a b\n").message.endswith("\n1 error. Nothing was created.")


def test_warnings_do_not_refuse_and_are_not_in_errors() -> None:
    text = "name: lab\nsites: {branch: {asn: 65010, prefixes: 10.250.0.0/16}}\n"
    loaded = read_text(text, "x.yml")
    assert isinstance(loaded, Loaded)
    assert [p.show("x.yml") for p in loaded.warnings] == [
        (
            "x.yml:2: warning: site branch has no connection.\n"
            "    Connect an NVA or a circuit to it: connects_to: [branch]."
        )
    ]
    assert len(refused(text + "peering: []\n").problems) == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "there is no such file."),
        (b"\xff\xfe\x00", "this is not UTF-8 text (byte 0)."),
        (b"", "the file is empty."),
        (b"name: \xe9t\xe9\n", "this is not UTF-8 text (byte 6)."),
    ],
)
def test_unreadable_files(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "x.lab.yml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LabFileError) as caught:
        load(path)
    assert caught.value.message.startswith(f"{path}: {says}\n    ")


def test_directory_and_impossible_path(tmp_path: Path) -> None:
    with pytest.raises(LabFileError, match="this is a directory"):
        load(tmp_path)
    with pytest.raises(LabFileError, match="can't be read"):
        load("nul\0byte")
    with pytest.raises(LabFileError, match="can't be read: Not a directory"):
        load(f"{__file__}/lab.yml")


def test_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "x.lab.yml"
    path.write_bytes(b"\xef\xbb\xbfname: lab\n")
    assert load(path).name == "lab"
