"""The words of `labkit whatif`: what they mean, and what is said of those that mean nothing."""

from __future__ import annotations

import pytest

from labkit.azure.model import HubRoutingPreference, NextHopType, RouteServer, RouteTable, UserRoute
from labkit.errors import InvalidInput
from labkit.predict.whatif.changes import (
    BranchToBranch,
    Change,
    PeeringFlag,
    Preference,
    Prepend,
    Propagation,
    Route,
)
from labkit.predict.whatif.words import FORMS, changes
from tests.unit.azure.builders import addr, azure, net, network, nic, nva, peered

SERVERS = [
    RouteServer("rs1", "hub", (addr("10.1.0.4"), addr("10.1.0.5")), (nva("fw", 65001, "10.1.1.4"),)),
    RouteServer("rs2", "spoke", (addr("10.2.0.4"), addr("10.2.0.5"))),
]
ONE = azure(
    [network("hub", "10.1.0.0/16", table="t"), network("spoke", "10.2.0.0/16")],
    peered("spoke", "hub"),
    servers=SERVERS[:1],
    tables=[RouteTable("t"), RouteTable("route")],
    nics=[nic("fw", "hub", "10.1.1.4")],
)
TWO = azure(ONE.virtual_networks, servers=SERVERS)
VIA_FW = UserRoute(net("0.0.0.0/0"), NextHopType.VIRTUAL_APPLIANCE, addr("10.1.1.4"))


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("branch-to-branch on", [BranchToBranch("rs1", on=True)]),
        ("--branch-to-branch OFF rs1", [BranchToBranch("rs1", on=False)]),
        ("hub-routing-preference aspath", [Preference("rs1", HubRoutingPreference.AS_PATH)]),
        ("--hub-routing-preference VpnGateway rs1", [Preference("rs1", HubRoutingPreference.VPN_GATEWAY)]),
        ("prepend fw 2", [Prepend("fw", 2)]),
        ("prepend fw -1", [Prepend("fw", -1)]),
        ("route t 0.0.0.0/0 fw", [Route("t", net("0.0.0.0/0"), VIA_FW)]),
        ("route t 0.0.0.0/0 10.1.1.4", [Route("t", net("0.0.0.0/0"), VIA_FW)]),
        ("route t 10.9.0.0/16 none", [Route("t", net("10.9.0.0/16"), UserRoute(net("10.9.0.0/16"), NextHopType.NONE))]),
        ("route t 10.9.0.0/16 remove", [Route("t", net("10.9.0.0/16"), None)]),
        ("propagation t off", [Propagation("t", on=False)]),
        (
            "peering spoke hub use-remote-gateways on --peering hub spoke allow-gateway-transit on",
            [
                PeeringFlag("spoke", "hub", "use-remote-gateways", on=True),
                PeeringFlag("hub", "spoke", "allow-gateway-transit", on=True),
            ],
        ),
        (
            "branch-to-branch on prepend fw 1 --propagation t on",
            [BranchToBranch("rs1", on=True), Prepend("fw", 1), Propagation("t", on=True)],
        ),
        (
            "peering spoke hub allow-gateway-transit hub off",
            [PeeringFlag("hub", "spoke", "allow-gateway-transit", on=False)],
        ),
        ("propagation route off", [Propagation("route", on=False)]),  # a route table of that name
        (
            "propagation route off route route 10.9.0.0/16 remove",
            [Propagation("route", on=False), Route("route", net("10.9.0.0/16"), None)],
        ),
    ],
)
def test_words_are_changes(words: str, wanted: list[Change]) -> None:
    assert changes(words.split(), ONE) == wanted


@pytest.mark.parametrize(
    ("words", "message", "remedy"),
    [
        ("", "nothing to try.", "A change is:"),
        ("branch on", "branch is no change.", "Did you mean branch-to-branch"),
        ("--propogation t off", "--propogation is no change.", "Did you mean propagation TABLE on|off?"),
        ("branch-to-branch on --formt json", "--formt is no change.", "A change is:"),
        ("branch-to-branch", "branch-to-branch: on or off is missing.", "Write: branch-to-branch on|off [SERVER]"),
        ("branch-to-branch maybe", "branch-to-branch: maybe is neither on nor off.", "Write: branch-to-branch"),
        ("branch-to-branch on rs1 now", "branch-to-branch: now is one word too many.", "Write: branch-to-branch"),
        ("hub-routing-preference fast", "hub-routing-preference: fast is no hub routing preference.", "Write: hub-"),
        ("prepend fw", "prepend: how many times is missing.", "Write: prepend NVA TIMES"),
        ("prepend fw two", "prepend: two is no number.", "Write: prepend NVA TIMES"),
        ("prepend fw 0", "prepend: 0 is not between 1 and 20", "Write: prepend NVA TIMES"),
        ("prepend fw 99", "prepend: 99 is not between 1 and 20", "Write: prepend NVA TIMES"),
        ("route t 10.9.0.0/16", "route: the next hop is missing.", "Write: route TABLE PREFIX NEXT-HOP|remove"),
        ("route u 10.9.0.0/16 fw", "there is no route table u.", "The lab's route tables: route, t."),
        (
            "route t 10.9.0.0/16 vm9",
            "route 10.9.0.0/16 of route table t: vm9 is not a next hop.",
            "Write Internet, VnetLocal, None",
        ),
        (
            "route t 10.9.0.0/16 VirtualNetworkGateway",
            "route 10.9.0.0/16 of route table t: VirtualNetworkGateway can't be a next hop here: labkit has no user-",
            "Let the gateway's own routes lead there",
        ),
        (
            "route t 10.9.0.1/16 fw",
            "route 10.9.0.1/16 of route table t: 10.9.0.1/16 has bits",
            "The prefix is 10.9.0.0/16.",
        ),
        ("peering hub spoke gateways on", "peering: gateways is no flag of a peering.", "Write: peering SIDE OTHER"),
    ],
)
def test_words_that_are_none(words: str, message: str, remedy: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        changes(words.split(), ONE)
    assert raised.value.message.startswith(message)
    assert raised.value.remedy.startswith(remedy)


def test_which_route_server_must_be_said_where_there_are_several() -> None:
    assert changes(["branch-to-branch", "on", "rs2"], TWO) == [BranchToBranch("rs2", on=True)]
    with pytest.raises(InvalidInput, match="2 route servers: rs1, rs2"):
        changes(["branch-to-branch", "on"], TWO)
    with pytest.raises(InvalidInput, match="no route server"):
        changes(["branch-to-branch", "on"], azure(ONE.virtual_networks))


def test_every_form_begins_with_its_keyword() -> None:
    assert all(form.split()[0] == keyword for keyword, form in FORMS.items())


def test_words_in_quotes_are_words() -> None:
    apart = changes(["address-space", "hub", "10.1.0.0/16", "10.8.0.0/16"], ONE)
    assert changes(["address-space", "hub", "10.1.0.0/16 10.8.0.0/16"], ONE) == apart
    assert changes(["address-space hub 10.1.0.0/16 10.8.0.0/16"], ONE) == apart
    with pytest.raises(InvalidInput, match="nothing to try"):
        changes([""], ONE)
