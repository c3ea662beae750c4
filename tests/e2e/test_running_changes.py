"""What operators change in a running lab: address spaces, peerings, peers, and the route server itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from labkit.azure.changes.base import Change
from labkit.azure.changes.route_servers import DeletePeer, DeleteRouteServer, PutPeer
from labkit.azure.changes.route_tables import (
    AssociateRouteTable,
    DeleteRouteTable,
    DissociateRouteTable,
    PutRoute,
    PutRouteTable,
)
from labkit.azure.changes.virtual_networks import DeletePeering, PutPeering, SetAddressSpace, SyncPeering
from labkit.azure.model import NextHopType
from labkit.cli.app import run as labkit
from labkit.errors import CheckFailed, InvalidInput
from labkit.operate.diff.run import differences
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.probes import ping
from labkit.pytest import Boot, RunningLab
from tests.e2e.in_lab import (
    configure,
    create_server,
    effective,
    gateways,
    kernel,
    kill_service,
    lab_file,
    nothing_differs,
    off,
    problems,
    put_peer,
    put_table,
    reaches,
    run,
    wait_until_programmed,
)
from tests.e2e.waiting import SOON, eventually

HUB, SPOKE, ADDED = IPv4Network("10.0.0.0/16"), IPv4Network("10.1.0.0/16"), IPv4Network("10.11.0.0/16")
BRANCH, SECOND = IPv4Network("10.250.0.0/16"), IPv4Network("10.252.0.0/16")
INSTANCES = (IPv4Address("10.0.0.4"), IPv4Address("10.0.0.5"))
MACHINES = ("hub-vm", "hub-vm2", "vm1")
LIMIT = 20


@pytest.fixture(scope="module")
def booted(labkit_lab: Boot) -> RunningLab:
    return labkit_lab(lab_file("changing"))


@pytest.fixture
def lab(booted: RunningLab) -> Iterator[RunningLab]:
    """The test leaves it as it found it: every proof holds, and nothing differs from the model."""
    yield booted
    assert problems(booted, SOON) == []
    nothing_differs(booted)


def addresses(lab: RunningLab, *names: str) -> tuple[IPv4Address, ...]:
    return tuple(lab.lab.azure.nic[name].address for name in names)


def every_machine_has(lab: RunningLab, prefix: IPv4Network, *nvas: str) -> None:
    """No NVA: no machine has the route."""
    wanted = addresses(lab, *nvas) or None
    for machine in MACHINES:
        eventually(lambda machine=machine: gateways(lab, machine, prefix), lambda found: found == wanted, what=machine)  # type: ignore[misc]


def unlike_the_model(lab: RunningLab) -> list[object]:
    """What differs from the model, or can't be asked; not what tests have configured by hand in an NVA's daemon."""
    try:
        return [d for d in differences(lab.lab, lab.client) if "changed by hand" not in d.where]
    except CheckFailed as error:
        return [error.message]


def neighbour(lab: RunningLab, nva: str, instance: IPv4Address) -> dict[str, Any]:
    """An NVA's neighbour as its FRR knows it."""
    found: dict[str, Any] = json.loads(run(lab, nva, "vtysh", "-c", f"show bgp neighbors {instance} json"))
    return found[str(instance)]  # type: ignore[no-any-return]


def refreshes(lab: RunningLab) -> list[int]:
    """How many times each instance has asked nva1 for all its routes."""
    return [neighbour(lab, "nva1", instance)["messageStats"]["routeRefreshRecv"] for instance in INSTANCES]


def configuration(lab: RunningLab, nva: str) -> str:
    return run(lab, nva, "vtysh", "-c", "show running-config")


def restart_controller(lab: RunningLab) -> None:
    kill_service(lab, "controller", "controller")
    eventually(lambda: unlike_the_model(lab), lambda found: not found)


def texts(lab: RunningLab, since: int = 0) -> list[str]:
    return [event.text for event in list(lab.client.events(follow=False))[since:]]


def test_a_new_range_reaches_an_appliance_that_nobody_touches(lab: RunningLab) -> None:
    """Once the hub's side of the peering is synced, which a restart of the controller does not do [peering-sync]."""
    before = configuration(lab, "nva1")
    lab.client.change(SetAddressSpace("spoke", (SPOKE, ADDED)))
    eventually(lambda: effective(lab, "vm1", ADDED), [("Default", "Active", "VnetLocal", [])].__eq__)
    restart_controller(lab)
    levels = {side["virtualNetwork"]: side["peeringSyncLevel"] for side in lab.client.get("peerings")}
    assert levels == {"hub": "LocalNotInSync", "spoke": "RemoteNotInSync"}
    assert effective(lab, "hub-vm", ADDED) == []
    advertised = lab.client.get("advertised-routes", "rs1", "nva1")["RouteServiceRole_IN_0"]
    assert {row["network"] for row in advertised} >= {str(SPOKE)}
    assert str(ADDED) not in {row["network"] for row in advertised}
    nothing_differs(lab)
    lab.client.change(SyncPeering("hub", "spoke"))

    eventually(lambda: ADDED in kernel(lab, "nva1"), bool, what="nva1's kernel has the new range")

    def received() -> set[tuple[IPv4Address | None, IPv4Address, tuple[int, ...]]]:
        paths = (path for path in LiveState(lab.lab, lab.client).bgp("nva1").paths if path.prefix == ADDED)
        return {(path.neighbour, path.next_hop, path.as_path) for path in paths}

    eventually(received, lambda paths: paths == {(i, i, (65515,)) for i in INSTANCES})
    eventually(lambda: ADDED in kernel(lab, "branch"), bool, what="the branch has it")
    assert effective(lab, "hub-vm", ADDED) == [("Default", "Active", "VNetPeering", [])]
    assert effective(lab, "vm1", ADDED) == [("Default", "Active", "VnetLocal", [])]
    assert configuration(lab, "nva1") == before

    lab.client.change(SetAddressSpace("spoke", (SPOKE,)))
    assert effective(lab, "hub-vm", ADDED) == [("Default", "Active", "VNetPeering", [])], "until it is synced"
    lab.client.change(SyncPeering("hub", "spoke"))
    eventually(lambda: ADDED in kernel(lab, "branch"), lambda there: not there, what="the branch has it no more")
    assert lab.client.changes() == ()


def peer_again(lab: RunningLab) -> None:
    """The spoke's side was deleted: the hub's is updated, so that Azure lets the spoke's be made again."""
    lab.client.change(PutPeering("hub", "spoke", allow_gateway_transit=True))
    lab.client.change(PutPeering("spoke", "hub", use_remote_gateways=True))


def test_a_peering_goes_and_comes_back(lab: RunningLab) -> None:
    """Until both sides exist nothing flows; when they do, the route server asks its NVAs for all their routes."""
    hub_vm, (nva1,) = lab.lab.azure.nic["hub-vm"].address, addresses(lab, "nva1")
    asked = refreshes(lab)

    lab.client.change(DeletePeering("spoke", "hub"))
    eventually(lambda: gateways(lab, "vm1", BRANCH), lambda found: found is None, what="vm1 has no way to the branch")
    eventually(lambda: SPOKE in kernel(lab, "nva1"), lambda there: not there, what="nva1 does not know the spoke")
    wait_until_programmed(lab)
    assert not ping(lab.client, "vm1", hub_vm)
    assert not ping(lab.client, "hub-vm", lab.lab.azure.nic["vm1"].address)
    (side,) = lab.client.get("peerings")
    assert (side["virtualNetwork"], side["peeringState"]) == ("hub", "Disconnected")
    assert gateways(lab, "hub-vm", BRANCH) == (nva1,), "the hub's own machines notice nothing"
    assert refreshes(lab) == asked

    with pytest.raises(InvalidInput, match="peering hub to spoke is Disconnected"):
        lab.client.change(PutPeering("spoke", "hub", use_remote_gateways=True))
    peer_again(lab)
    eventually(lambda: gateways(lab, "vm1", BRANCH), lambda found: found == (nva1,), what="vm1 has its way back")
    reaches(lab.client, "vm1", hub_vm)
    eventually(lambda: refreshes(lab), lambda now: now == [count + 1 for count in asked])


def test_a_peering_without_gateways_leaves_the_spoke_to_itself(lab: RunningLab) -> None:
    lab.client.change(PutPeering("spoke", "hub", use_remote_gateways=False))
    eventually(lambda: gateways(lab, "vm1", BRANCH), lambda found: found is None)
    eventually(lambda: SPOKE in kernel(lab, "nva1"), lambda there: not there)
    reaches(lab.client, "vm1", lab.lab.azure.nic["hub-vm"].address, what="the peering itself is there")
    lab.client.change(PutPeering("spoke", "hub", use_remote_gateways=True))


def test_a_new_peering_counts_all_routes_again(lab: RunningLab) -> None:
    """Above half of the limit the routes that are sent again end the session [refresh-at-peering, limit-counting]."""
    many = [f"10.200.{i}.0/24" for i in range(LIMIT - 5)]
    family = ("router bgp 65001", "address-family ipv4 unicast")
    configure(lab, "nva1", *family, *(f"network {prefix}" for prefix in many))
    eventually(lambda: gateways(lab, "vm1", IPv4Network(many[-1])), bool, what="vm1 has them all")
    past = len(texts(lab))

    lab.client.change(DeletePeering("spoke", "hub"))
    peer_again(lab)
    said = re.compile(rf"session nva1 down: \d+ routes counted, {LIMIT} allowed")
    ended = lambda found: len([text for text in found if said.fullmatch(text)]) == 2  # noqa: E731
    eventually(lambda: texts(lab, past), ended, what="both instances end it")

    configure(lab, "nva1", *family, *(f"no network {prefix}" for prefix in many))
    every_machine_has(lab, BRANCH, "nva1")


@pytest.fixture
def nva2_has_sessions(lab: RunningLab) -> Iterator[None]:
    """nva2 is configured for the route server, as its owner would do it, whether that knows it or not."""
    sessions = [
        f"neighbor {instance} {setting}"
        for instance in INSTANCES
        for setting in ("remote-as 65515", "ebgp-multihop 2", "timers 1 3", "timers connect 1")
    ]
    configure(lab, "nva2", "router bgp 65002", *sessions)
    yield
    configure(lab, "nva2", "router bgp 65002", *(f"no neighbor {instance}" for instance in INSTANCES))


@pytest.mark.usefixtures("nva2_has_sessions")
def test_a_peer_comes_and_goes(lab: RunningLab) -> None:
    """Until it is a peer it is refused. Neither dead processes nor a dead controller forget it, once it is."""

    def refused(instance: IPv4Address) -> bool:
        return str(neighbour(lab, "nva2", instance).get("lastResetDueTo")).startswith("BGP Notification")

    def state(instance: IPv4Address) -> str:
        return str(neighbour(lab, "nva2", instance)["bgpState"])

    for instance in INSTANCES:
        eventually(lambda instance=instance: refused(instance), bool, what="nva2 is refused")  # type: ignore[misc]
    every_machine_has(lab, SECOND)
    since = [neighbour(lab, "nva1", instance)["bgpTimerUpEstablishedEpoch"] for instance in INSTANCES]

    lab.client.change(put_peer(lab, "rs1", "nva2"))
    every_machine_has(lab, SECOND, "nva2")
    assert [p["name"] for p in lab.client.get("route-servers", "rs1", "peers")] == ["nva1", "nva2"]
    eventually(lambda: SPOKE in kernel(lab, "nva2"), bool, what="nva2 hears of the spoke")
    up = [neighbour(lab, "nva1", instance)["bgpTimerUpEstablishedEpoch"] for instance in INSTANCES]
    assert all(abs(a - b) <= 2 for a, b in zip(since, up, strict=True)), "nva1's sessions go on"

    for node, service in (("rs1-0", "exabgp"), ("controller", "controller")):
        kill_service(lab, node, service)
        eventually(lambda: unlike_the_model(lab), lambda found: not found)
        every_machine_has(lab, SECOND, "nva2")
        eventually(lambda: [state(i) for i in INSTANCES], lambda states: states == ["Established"] * 2)

    lab.client.change(DeletePeer("rs1", "nva2"))
    every_machine_has(lab, SECOND)
    for instance in INSTANCES:
        eventually(lambda instance=instance: state(instance), lambda now: now != "Established")  # type: ignore[misc]
    eventually(lambda: SPOKE in kernel(lab, "nva2"), lambda there: not there)


def test_the_route_server_is_deleted_and_created(lab: RunningLab) -> None:
    foreign = [LiveState(lab.lab, lab.client).foreign_packets(f"rs1-{index}") for index in (0, 1)]
    lab.client.change(DeleteRouteServer("rs1"))
    every_machine_has(lab, BRANCH)
    eventually(lambda: SPOKE in kernel(lab, "nva1"), lambda there: not there)
    reaches(lab.client, "vm1", lab.lab.azure.nic["hub-vm"].address, what="the peering is there")
    for instance in INSTANCES:
        eventually(
            lambda instance=instance: ping(lab.client, "hub-vm", instance),  # type: ignore[misc]
            lambda answered: not answered,
            what="nobody has its address once its sessions are closed",
        )
    with pytest.raises(InvalidInput, match="there is no route server rs1"):
        lab.client.get("route-servers", "rs1")
    eventually(lambda: unlike_the_model(lab), lambda found: found == [])

    lab.client.change(create_server(lab, "rs1"))
    assert lab.client.get("route-servers", "rs1", "peers") == []
    lab.client.change(put_peer(lab, "rs1", "nva1"))
    every_machine_has(lab, BRANCH, "nva1")
    # One that is off has no sessions to close.
    with off(lab, "rs1-0"):
        lab.client.change(DeleteRouteServer("rs1"))
        eventually(lambda: unlike_the_model(lab), lambda found: found == [])
        lab.client.change(create_server(lab, "rs1"))
        lab.client.change(put_peer(lab, "rs1", "nva1"))
    every_machine_has(lab, BRANCH, "nva1")
    reaches(lab.client, "vm1", IPv4Address("10.250.0.10"))
    assert [LiveState(lab.lab, lab.client).foreign_packets(f"rs1-{index}") for index in (0, 1)] == foreign


def test_a_route_table_comes_to_a_subnet_and_goes(lab: RunningLab) -> None:
    """Its routes and its flag are in the machines' kernels and in the fabric, and a dead controller forgets neither."""
    put_table(lab, "detour", {str(SECOND): "nva2"})
    every_machine_has(lab, SECOND)
    lab.client.change(AssociateRouteTable("hub", "workload", "detour"))
    for machine in ("hub-vm", "hub-vm2"):
        eventually(
            lambda machine=machine: gateways(lab, machine, SECOND),  # type: ignore[misc]
            lambda found: found == addresses(lab, "nva2"),
        )
    assert effective(lab, "hub-vm", SECOND) == [("User", "Active", "VirtualAppliance", ["10.0.1.5"])]
    assert effective(lab, "vm1", SECOND) == effective(lab, "nva1", SECOND) == []
    eventually(lambda: unlike_the_model(lab), lambda found: not found)
    with pytest.raises(InvalidInput, match="route table detour is in use by hub/workload"):
        lab.client.change(DeleteRouteTable("detour"))

    put_table(lab, "detour", propagation=False)
    for machine in ("hub-vm", "hub-vm2"):
        eventually(lambda machine=machine: gateways(lab, machine, BRANCH), lambda found: found is None)  # type: ignore[misc]
    assert gateways(lab, "vm1", BRANCH) == addresses(lab, "nva1")
    wait_until_programmed(lab)
    assert not ping(lab.client, "hub-vm", IPv4Address("10.250.0.10")), "the fabric has no way there either"

    restart_controller(lab)
    (table,) = lab.client.get("route-tables")
    assert (table["disableBgpRoutePropagation"], table["subnets"]) == (True, ["hub/workload"])

    lab.client.change(DissociateRouteTable("hub", "workload"))
    lab.client.change(DeleteRouteTable("detour"))
    every_machine_has(lab, BRANCH, "nva1")


def test_a_reset_undoes_everything(lab: RunningLab) -> None:
    """What was changed is a list of changes, which undoes the reset when it is applied."""
    assert lab.client.changes() == ()
    made = (
        DeleteRouteServer("rs1"),
        DeletePeering("spoke", "hub"),
        PutRouteTable("detour"),
        PutRoute("detour", SECOND, NextHopType.VIRTUAL_APPLIANCE, lab.lab.azure.nic["nva2"].address),
        AssociateRouteTable("hub", "workload", "detour"),
    )
    lab.client.change(*made)
    every_machine_has(lab, BRANCH)
    eventually(lambda: gateways(lab, "hub-vm", SECOND), lambda hops: hops == addresses(lab, "nva2"))
    assert lab.client.changes() == made

    assert labkit(["reset", "--lab", lab.lab.name]) == 0
    assert lab.client.changes() == ()
    every_machine_has(lab, SECOND)
    every_machine_has(lab, BRANCH, "nva1")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (SetAddressSpace("spoke", (IPv4Network("10.9.0.0/16"),)), "subnet workload"),
        (SetAddressSpace("spoke", (SPOKE, IPv4Network("10.0.128.0/17"))), "can't be peered"),
        (PutPeering("hub", "spoke", allow_gateway_transit=False), "doesn't allow gateway transit"),
        (PutPeering("hub", "spoke", use_remote_gateways=True), "has a route server of its own"),
        (PutPeer("rs1", "nva2", 65515, IPv4Address("10.0.1.5")), "65515"),
        (PutPeer("rs1", "fw", 65009, IPv4Address("10.3.0.4")), "neither in hub"),
    ],
)
def test_a_refused_change_leaves_the_lab_as_it_was(lab: RunningLab, change: Change, text: str) -> None:
    """Neither it nor what was sent with it is carried out."""
    before, events = lab.client.get("state")["azure"], len(texts(lab))
    with pytest.raises(InvalidInput, match=f"Azure would refuse that: .*{text}") as refused:
        lab.client.change(PutRouteTable("beside"), change)
    assert refused.value.remedy
    assert lab.client.get("state")["azure"] == before
    assert len(texts(lab)) == events


def test_the_commands(lab: RunningLab, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*words: str, status: int = 0) -> str:
        assert labkit([*words, "--lab", lab.client.record.lab]) == status
        captured = capsys.readouterr()
        return captured.out + captured.err

    assert said("vnet", "update", "spoke", "--address-prefixes", f"{SPOKE} {ADDED}").startswith(" spoke: address space")
    again = said("vnet", "update", "spoke", "--address-prefixes", str(SPOKE), str(ADDED))
    assert again == " spoke: no change\n", "in one word or in several"
    assert "must not be empty" in said("vnet", "update", "spoke", "--address-prefixes", "", status=2)
    assert f"spoke  {SPOKE}, {ADDED}" in said("vnet", "show")
    shown = {network["name"]: network for network in json.loads(said("vnet", "show", "-o", "json"))}
    assert shown["spoke"]["addressPrefixes"] == [str(SPOKE), str(ADDED)]
    assert "LocalNotInSync" in said("vnet", "peering", "list")
    synced = said("vnet", "peering", "sync", "hub", "spoke")
    assert synced == f" hub to spoke: ranges of spoke {SPOKE} → {SPOKE} {ADDED}\n"
    said("vnet", "update", "spoke", "--address-prefixes", str(SPOKE))
    said("vnet", "peering", "sync", "hub", "spoke")
    assert "NotInSync" not in said("vnet", "peering", "list")

    assert "already exists" in said("vnet", "peering", "create", "hub", "spoke", status=2)
    assert "nothing to change" in said("vnet", "peering", "update", "hub", "spoke", status=2)
    turned = said("vnet", "peering", "update", "hub", "spoke", "--allow-forwarded-traffic", "off")
    assert turned == " hub to spoke: allowForwardedTraffic on → off\n"
    said("vnet", "peering", "update", "hub", "spoke", "--allow-forwarded-traffic", "on")
    said("vnet", "peering", "delete", "hub", "spoke")
    assert "there is no peering hub to spoke" in said(
        "vnet", "peering", "update", "hub", "spoke", "--allow-gateway-transit", "on", status=2
    )
    listed = said("vnet", "peering", "list")
    assert listed.splitlines()[2].split() == ["spoke", "hub", "Disconnected", "FullyInSync", "on", "off", "on"]
    create = ("vnet", "peering", "create", "hub", "spoke", "--allow-gateway-transit", "on")
    assert "is Disconnected" in said(*create, status=2)
    assert "Initiated until" in said("vnet", "peering", "update", "spoke", "hub", "--use-remote-gateways", "on")
    assert "created" in said(*create)

    switched = said("nic", "update", "nva2", "--ip-forwarding", "off")
    assert switched.startswith(
        " nva2: IP forwarding on → off\n warning: IP forwarding is off on nva2's NIC, which drops "
    )
    assert said("nic", "update", "nva2", "--ip-forwarding", "off") == " nva2: no change\n"
    nics = [line.split() for line in said("nic", "list").splitlines()]
    assert ["nva2", "hub/appliances", "10.0.1.5", "off"] in nics
    (shown_nic,) = (nic for nic in json.loads(said("nic", "list", "-o", "json")) if nic["name"] == "nva2")
    assert (shown_nic["privateIPAddress"], shown_nic["enableIPForwarding"]) == ("10.0.1.5", False)
    said("nic", "update", "nva2", "--ip-forwarding", "on")

    assert said("route-table", "create", "detour") == " detour: created\n"
    assert "already exists" in said("route-table", "create", "detour", status=2)
    assert "is not a subnet" in said("route-table", "associate", "detour", "spoke", status=2)
    assert "can't have a route table" in said("route-table", "associate", "detour", "hub/RouteServerSubnet", status=2)
    assert (
        said("route-table", "associate", "detour", "spoke/workload")
        == " spoke/workload: route table detour associated\n"
    )
    assert said("route-table", "add", "detour", "10.9.0.0/16", "None") == " detour: route 10.9.0.0/16 created: None\n"
    assert said("route-table", "show").splitlines()[2].split() == [
        "detour",
        "10.9.0.0/16",
        "None",
        "yes",
        "spoke/workload",
    ]
    (shown_table,) = json.loads(said("route-table", "show", "-o", "json"))
    assert shown_table == {
        "name": "detour",
        "disableBgpRoutePropagation": False,
        "routes": [{"addressPrefix": "10.9.0.0/16", "nextHopType": "None", "nextHopIpAddress": None}],
        "subnets": ["spoke/workload"],
    }
    assert "in use by spoke/workload" in said("route-table", "delete", "detour", status=2)
    assert "subnet       spoke/workload  route table detour associated" in said("changes")
    assert "route table detour dissociated" in said("route-table", "dissociate", "spoke/workload")
    assert said("route-table", "delete", "detour") == " detour: deleted\n"
    assert said("changes") == "changing: no changes.\n"
    assert said("reset") == "changing: no changes.\n"

    assert "already exists" in said("route-server", "create", "rs1", status=2)
    assert "nva1  65001    10.0.1.4" in said("route-server", "peering", "list", "rs1")
    assert "created" in said(
        "route-server", "peering", "create", "rs1", "fw", "--peer-asn", "65009", "--peer-ip", "10.0.1.99"
    )
    assert [p["name"] for p in json.loads(said("route-server", "peering", "list", "rs1", "-o", "json"))] == [
        "nva1",
        "fw",
    ]
    assert said("route-server", "peering", "delete", "rs1", "fw") == " rs1: peering fw deleted\n"
    assert said("route-server", "delete", "rs1") == " rs1: deleted\n"
    assert "there is no route server rs1" in said("route-server", "peering", "list", "rs1", status=2)
    assert said("route-server", "show").splitlines()[2:] == []
    assert said("route-server", "create", "rs1") == " rs1: created\n"
    said("route-server", "peering", "create", "rs1", "nva1")
    every_machine_has(lab, BRANCH, "nva1")


def test_no_process_waits_for_a_name_service(lab: RunningLab) -> None:
    """ExaBGP asks for its own host's name when it starts, and when it checks a file."""
    assert lab.client.run("rs1-0", "timeout", "3", "getent", "hosts", "nowhere.invalid").rc == 2, "not found, at once"
