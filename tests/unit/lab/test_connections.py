"""Gateways and connections that are deleted and created while a lab runs, whose nodes, lines and tunnels stay."""

import re
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from labkit.azure.changes.base import Change
from labkit.azure.changes.circuits import CreateAuthorization, DeleteAuthorization
from labkit.azure.changes.difference import difference
from labkit.azure.changes.gateways import CreateConnection, CreateGateway, DeleteConnection, DeleteGateway
from labkit.azure.changes.route_servers import CreateRouteServer, DeleteRouteServer
from labkit.azure.changes.route_tables import PutRoute
from labkit.azure.changes.virtual_networks import SetAddressSpace
from labkit.azure.model import Azure, NextHopType, PeerKind
from labkit.errors import InvalidInput
from labkit.lab.connections import unconnected
from labkit.lab.edited import freed_addresses, obstacles
from labkit.lab.load import load, load_text
from labkit.lab.model import Lab
from labkit.lab.plan.speakers import static_prefixes
from labkit.lab.running import carry_out, cautions
from labkit.predict.converge import CustomerRouters, everything_up
from labkit.predict.sessions import expected_sessions

LABS = Path(__file__).parents[2] / "e2e" / "labs"
LAB = load(LABS / "connections.lab.yml")
EDGES = load(LABS / "edges.lab.yml")


def after(*changes: Change, azure: Azure = LAB.azure) -> Azure:
    return carry_out(LAB, azure, changes).azure


def test_a_device_s_tunnels_are_unconnected_and_nothing_else() -> None:
    azure = after(DeleteConnection("vpngw-dev1"))
    assert unconnected(LAB, azure) == {frozenset((f"vpngw-{i}", "dev1")) for i in (0, 1)}
    assert unconnected(LAB, LAB.azure) == frozenset()
    gone = {str(s) for s in expected_sessions(LAB, LAB.azure)} - {str(s) for s in expected_sessions(LAB, azure)}
    assert gone == {"vpngw-0 - dev1", "vpngw-1 - dev1"}


def test_between_two_gateways_either_connection_takes_the_tunnels_away() -> None:
    pairs = {
        frozenset((t.near.node, t.far.node)) for t in LAB.tunnels if {t.near.name, t.far.name} == {"vpngw", "fargw"}
    }
    assert pairs
    for name in ("vpngw-fargw", "fargw-vpngw"):
        assert unconnected(LAB, after(DeleteConnection(name))) == pairs
    assert not everything_up(LAB, after(DeleteConnection("fargw-vpngw"))).tunnels


def test_a_circuit_s_lines_are_unconnected() -> None:
    azure = carry_out(EDGES, EDGES.azure, [DeleteConnection("ergw-circuit1")]).azure
    assert unconnected(EDGES, azure) == {frozenset((f"ergw-{i}", "circuit1")) for i in (0, 1)}
    assert not everything_up(EDGES, azure).edges
    customers = CustomerRouters(EDGES, azure)
    up = customers.established(azure, everything_up(EDGES, azure), customers.sessions)
    assert ("dc", "circuit1") in {(s.router, s.neighbour.name) for s in up}, "the customer's own session goes on"


def test_static_routes_into_a_tunnel_go_with_its_connection() -> None:
    azure, shop = after(DeleteConnection("vpngw-shop")), IPv4Network("10.157.0.0/16")
    assert shop in static_prefixes(LAB, "vpngw-0")
    assert shop not in static_prefixes(LAB, "vpngw-0", azure)


def test_two_gateways_without_bgp_keep_to_address_spaces_or_to_what_they_were_given() -> None:
    more = IPv4Network("10.99.0.0/16")
    for network, node, follows in (("plain", "vpngw-0", True), ("core", "plaingw-1", True), ("prem", "vpngw-0", False)):
        (space,) = LAB.azure.virtual_network[network].address_space
        assert space in static_prefixes(LAB, node)
        azure = after(SetAddressSpace(network, (more, space)))
        assert (more in static_prefixes(LAB, node, azure)) is follows
    assert {str(prefix) for prefix in static_prefixes(LAB, "premgw-0")} == {"10.47.0.0/22", "10.155.0.0/16"}
    assert not [s for s in expected_sessions(LAB, LAB.azure) if "plaingw-0" in str(s) and "vpngw" in str(s)]


def test_what_was_deleted_is_created_as_it_was() -> None:
    """With the instances that have tunnels."""
    deleted = after(DeleteConnection("vpngw-depot"))
    assert difference(LAB.azure, deleted) == (DeleteConnection("vpngw-depot"),)
    created = difference(deleted, LAB.azure)
    assert created == (CreateConnection("vpngw-depot", "vpngw", "vpngw-depot"),)
    again = after(*created, azure=deleted)
    assert set(again.connections) == set(LAB.azure.connections)
    assert replace(again, connections=LAB.azure.connections) == LAB.azure


def edited(lab: Lab, file: str, *replaced: tuple[str, str]) -> Lab:
    """The lab of its file with texts replaced, as `labkit apply` reads it; without proofs of what is gone."""
    text = (LABS / f"{file}.lab.yml").read_text().partition("\nproofs:")[0]
    for old, new in replaced:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return load_text(text, "edited", reserved=freed_addresses(lab, load_text(text, "edited")))


FARGW = "  fargw: {type: Vpn, virtual_network: far, asn: 65006}\n"


@pytest.mark.parametrize(
    ("file", "replaced", "wanted"),
    [
        ("connections", [("      - dev1\n", "")], [DeleteConnection("vpngw-dev1")]),
        (
            "connections",
            [("      - fw\n", ""), ("      - depot: {bgp_peering_address: 169.254.21.2, instances: [1]}\n", "")],
            [DeleteConnection("vpngw-depot"), DeleteConnection("vpngw-fw")],
        ),
        (
            "connections",
            [("      - fargw\n", ""), (FARGW, "")],
            [DeleteConnection("vpngw-fargw"), DeleteConnection("fargw-vpngw"), DeleteGateway("fargw")],
        ),
        (
            "bow-tie",
            [("{c1: {routing_weight: 100, authorization: partner}}, ", "")],
            [DeleteConnection("ereast-c1"), DeleteAuthorization("c1", "partner")],
        ),
        (
            "edges",
            [("  ergw: {type: ExpressRoute, virtual_network: hub, connects_to: [circuit1]}\n", "")],
            [DeleteConnection("ergw-circuit1"), DeleteGateway("ergw")],
        ),
    ],
)
def test_an_edited_file_has_connections_and_gateways_less(
    file: str, replaced: list[tuple[str, str]], wanted: list[Change]
) -> None:
    """What stays has its addresses still, and what was left out can be had again."""
    lab = load(LABS / f"{file}.lab.yml")
    less = edited(lab, file, *replaced)
    assert obstacles(lab, less) == ()
    assert difference(lab.azure, less.azure) == tuple(wanted)
    gone = carry_out(lab, lab.azure, wanted).azure
    assert {each.name for each in gone.connections} == {each.name for each in less.azure.connections}
    again = carry_out(lab, gone, difference(gone, lab.azure)).azure
    assert {*again.connections} == {*lab.azure.connections}
    assert {*again.gateways} == {*lab.azure.gateways}


def test_an_edited_address_space_is_no_new_tunnel() -> None:
    """Two gateways without BGP follow it; a site has to be configured, as in Azure."""
    more = IPv4Network("10.99.0.0/16")
    for network, space in (("plain", "10.50.0.0/22"), ("core", "10.47.0.0/22")):
        less = edited(
            LAB,
            "connections",
            (f"  {network}: {{address_space: {space}", f"  {network}: {{address_space: [{space}, {more}]"),
        )
        assert obstacles(LAB, less) == ()
        assert difference(LAB.azure, less.azure) == (SetAddressSpace(network, (IPv4Network(space), more)),)
    old, new = "remote_prefixes: [10.47.0.0/22, 10.155.0.0/16]", "remote_prefixes: 10.47.0.0/22"
    assert obstacles(LAB, edited(LAB, "connections", (old, new))) == (
        "local network gateway premgw-vpngw: address_space differs, which no change configures",
    )


@pytest.mark.parametrize(
    ("replaced", "wanted"),
    [
        (
            ("  fargw: {type: Vpn, virtual_network: far, asn: 65006}", FARGW[:-2] + ", connects_to: [depot]}"),
            "connection fargw-depot is new: it has no line and no tunnel in the running lab",
        ),
        (("169.254.21.2", "169.254.21.3"), "local network gateway vpngw-depot: bgp_peering_address differs"),
        (("instances: [1]", "instances: [0]"), "connection vpngw-depot: instances differs"),
    ],
)
def test_what_an_edited_file_has_more_is_refused(replaced: tuple[str, str], wanted: str) -> None:
    found = obstacles(LAB, edited(LAB, "connections", replaced, ("      - dev1\n", "")))
    assert [each.removesuffix(", which no change configures") for each in found] == [wanted]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (DeleteConnection("vpngw-nobody"), "there is no connection vpngw-nobody"),
        (CreateConnection("vpngw-dev1", "vpngw", "vpngw-dev1"), "connection vpngw-dev1 already exists"),
        (CreateConnection("a", "nobody", "vpngw-dev1"), "there is no gateway nobody"),
        (CreateConnection("a", "vpngw", "nobody"), "there is no remote end nobody"),
        (CreateAuthorization("nothing", "a"), "there is no circuit nothing"),
        (CreateConnection("a", "fargw", "vpngw-dev1"), "no line and no tunnel for a connection of fargw to vpngw-dev1"),
    ],
)
def test_what_can_t_be_is_refused(change: Change, text: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(text)):
        after(change)


BOW_TIE = load(LABS / "bow-tie.lab.yml")
TO_C1 = CreateConnection("ereast-c1", "ereast", "c1", "partner")


def bow_tie(*changes: Change, azure: Azure = BOW_TIE.azure) -> Azure:
    return carry_out(BOW_TIE, azure, changes).azure


def test_a_connection_goes_with_the_authorization_that_it_redeems() -> None:
    # [circuit-authorization]
    deletion = DeleteAuthorization("c1", "partner")
    (done,) = carry_out(BOW_TIE, BOW_TIE.azure, [deletion]).done
    assert done.title == "c1: authorization partner deleted, and connection ereast-c1 with it"
    gone = bow_tie(deletion)
    assert unconnected(BOW_TIE, gone) == {frozenset((f"ereast-{i}", f"c1-{edge}")) for i in (0, 1) for edge in (0, 1)}
    assert difference(BOW_TIE.azure, gone) == (DeleteConnection("ereast-c1"), deletion)
    back = difference(gone, BOW_TIE.azure)
    assert back == (CreateAuthorization("c1", "partner"), TO_C1)
    again = bow_tie(*back, azure=gone)
    assert {*again.connections} == {*BOW_TIE.azure.connections}
    assert again.circuits == BOW_TIE.azure.circuits


def test_an_authorization_is_redeemed_by_one_connection() -> None:
    # [circuit-authorization]
    gone = bow_tie(DeleteAuthorization("c1", "partner"))
    with pytest.raises(InvalidInput, match="c1 has no authorization partner") as refused:
        bow_tie(TO_C1, azure=gone)
    assert refused.value.remedy.endswith("labkit circuit auth create c1 partner")
    with pytest.raises(InvalidInput, match="c1 is a circuit of another subscription"):
        bow_tie(replace(TO_C1, authorization=None), azure=gone)
    other = bow_tie(CreateAuthorization("c1", "again"), replace(TO_C1, authorization="AGAIN"), azure=gone)
    assert difference(other, BOW_TIE.azure) == (
        DeleteConnection("ereast-c1"),
        DeleteAuthorization("c1", "again"),
        CreateAuthorization("c1", "partner"),
        TO_C1,
    )
    to_west = CreateConnection("erwest-c1", "erwest", "c1", "partner")
    with pytest.raises(InvalidInput, match="2 connections redeem authorization partner of c1, which is for one"):
        bow_tie(DeleteConnection("erwest-c1"), to_west)
    free = bow_tie(DeleteConnection("ereast-c1"))
    assert free.circuit["c1"].authorizations == ("partner",)
    assert bow_tie(DeleteConnection("erwest-c1"), to_west, azure=free)


VPNGW = EDGES.azure.gateway["vpngw"]
NO_VPN = (DeleteConnection("vpngw-office"), DeleteGateway("vpngw"))


def edges(*changes: Change, azure: Azure = EDGES.azure) -> Azure:
    return carry_out(EDGES, azure, changes).azure


def created(count: int) -> CreateGateway:
    return CreateGateway("vpngw", "hub", PeerKind.VPN_GATEWAY, VPNGW.instances[:count], VPNGW.asn)


def test_a_gateway_is_deleted_with_its_nics_and_created_as_it_was() -> None:
    gone = edges(*NO_VPN)
    assert [gateway.name for gateway in gone.gateways] == ["ergw"]
    assert not {"vpngw-0", "vpngw-1"} & gone.nic.keys()
    assert difference(EDGES.azure, gone) == NO_VPN
    back = difference(gone, EDGES.azure)
    assert back == (created(2), CreateConnection("vpngw-office", "vpngw", "vpngw-office"))
    again = edges(*back, azure=gone)
    assert again.nics == EDGES.azure.nics
    assert {*again.gateways} == {*EDGES.azure.gateways}
    left = {str(session) for session in expected_sessions(EDGES, gone)}
    assert not [session for session in left if "vpngw" in session]
    assert {str(session) for session in expected_sessions(EDGES, again)} == left | {
        str(session) for session in expected_sessions(EDGES, EDGES.azure) if "vpngw" in str(session)
    }


def test_a_gateway_in_use_stays() -> None:
    # [gateway-in-use]
    with pytest.raises(InvalidInput, match="gateway vpngw has connections: vpngw-office"):
        edges(DeleteGateway("vpngw"))


def test_a_route_server_and_an_active_passive_gateway_exclude_each_other_in_any_order() -> None:
    # [vpn-standby]
    server = EDGES.azure.route_server["rs1"]
    with pytest.raises(InvalidInput, match="is not active-active") as refused:
        edges(*NO_VPN, created(1))
    assert "--active-active on" in refused.value.remedy
    standby = edges(*NO_VPN, DeleteRouteServer("rs1"), created(1))
    assert [nic for nic in standby.nic if nic.startswith("vpngw")] == ["vpngw-0"]
    with pytest.raises(InvalidInput, match="is not active-active"):
        edges(CreateRouteServer("rs1", "hub", server.instances), azure=standby)
    connected = edges(CreateConnection("vpngw-office", "vpngw", "vpngw-office"), azure=standby)
    assert unconnected(EDGES, connected) == {frozenset(("vpngw-1", "office"))}
    assert difference(connected, EDGES.azure)[:2] == NO_VPN


def test_a_route_table_that_cuts_instances_while_the_lab_runs_is_a_caution() -> None:
    # [gateway-subnet-cut]
    lab = load(LABS / "gateways.lab.yml")
    cut = carry_out(lab, lab.azure, [PutRoute("empty", IPv4Network("10.64.200.0/24"), NextHopType.NONE)]).azure
    assert {(text, remedy) for text, remedy in cautions(lab, lab.azure, cut)} == {
        (
            f"route table empty diverts what gateway {gateway} sends to instances of gateways.",
            "Their sessions end: give the route table a route for GatewaySubnet to VnetLocal.",
        )
        for gateway in ("beside", "vpngw")
    }


def test_a_gateway_that_the_lab_has_no_nodes_for_is_refused() -> None:
    for change in (
        CreateGateway("other", "hub", PeerKind.VPN_GATEWAY, VPNGW.instances, VPNGW.asn),
        CreateGateway("vpngw", "hub", PeerKind.VPN_GATEWAY, VPNGW.instances[::-1], VPNGW.asn),
    ):
        with pytest.raises(InvalidInput, match="no nodes for a gateway"):
            edges(*NO_VPN, change)
