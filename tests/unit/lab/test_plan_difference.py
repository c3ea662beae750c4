"""What makes the plan of a running lab that of an edited file: what is made, what goes, what has to restart."""

from __future__ import annotations

import pytest

from labkit.lab.build import plan
from labkit.lab.load import load_text
from labkit.lab.plan.difference import PlanDifference, difference, link_title

TEXT = """
name: growing
virtual_networks:
  hub:
    address_space: 10.1.0.0/16
    subnets: {RouteServerSubnet: 10.1.0.0/26, nva: 10.1.1.0/24, app: 10.1.2.0/24, GatewaySubnet: 10.1.3.0/24}
  spoke: {address_space: 10.2.0.0/16, subnets: {app: 10.2.1.0/24}}
route_servers:
  rs1: {virtual_network: hub, peers: [nva1]}
nvas:
  nva1: {subnet: hub/nva, asn: 65001, connects_to: [branch]}
sites:
  branch: {asn: 65010, prefixes: [10.250.0.0/16]}
internet: {prefix: 198.51.100.0/24}
virtual_machines:
  vm1: hub/app
  vm2: spoke/app
"""
SPOKE = ("route_servers:", "  third: {address_space: 10.3.0.0/16, subnets: {app: 10.3.1.0/24}}\nroute_servers:")
PEERING = ("internet:", "peerings: [{between: [hub, spoke]}]\ninternet:")
NVA2 = ("sites:", "  nva2: {subnet: hub/nva, asn: 65002}\nsites:")
PEER = ("peers: [nva1]", "peers: [nva1, nva2]")
GATEWAY = (
    "sites:",
    (
        "gateways:\n  vpn: {virtual_network: hub, type: Vpn, active_active: true, connects_to: [office]}\n"
        "sites:\n  office: {asn: 65020, prefixes: [10.251.0.0/16]}"
    ),
)
SECOND = (
    ("connects_to: [branch]", "connects_to: [branch, other]"),
    (
        "sites:",
        "sites:\n  other: {asn: 65011, prefixes: [10.252.0.0/16]}",
    ),
)


def edited(*replaced: tuple[str, str]) -> PlanDifference:
    text = TEXT
    for old, new in replaced:
        assert old in text
        text = text.replace(old, new, 1)
    return difference(plan(load_text(TEXT, "before")), plan(load_text(text, "after")))


def names(found: PlanDifference) -> tuple[list[str], list[str], list[str]]:
    return (
        [node.name for node in found.made],
        [node.name for node in found.gone],
        [f"{each.node.name}: {each.reason}" for each in found.restarted],
    )


@pytest.mark.parametrize(
    ("replaced", "made", "restarted", "linked", "loaded"),
    [
        ([], [], [], 0, []),
        ([PEERING], [], [], 1, []),
        ([("vm2: spoke/app", "vm2: spoke/app\n  vm3: hub/app")], ["vm3"], [], 1, []),
        ([("app: 10.2.1.0/24", "app: 10.2.1.0/24, db: 10.2.2.0/24")], [], [], 0, []),
        ([SPOKE], ["third"], [], 1, ["internet"]),
        ([NVA2, PEER], ["nva2"], [], 1, []),
        ([GATEWAY], ["vpn-0", "vpn-1", "office", "office-host"], ["internet: its sysctls change"], 6, []),
        ([*SECOND], ["other", "other-host"], ["nva1: its frr.conf changes"], 2, []),
    ],
)
def test_what_is_added(
    replaced: list[tuple[str, str]], made: list[str], restarted: list[str], linked: int, loaded: list[str]
) -> None:
    found = edited(*replaced)
    assert names(found) == (made, [], restarted)
    assert len(found.linked) == linked
    assert [name for name, _ in found.loaded] == loaded
    assert found.unlinked == ()


@pytest.mark.parametrize(
    ("old", "gone", "restarted", "unlinked"),
    [
        ("  vm2: spoke/app\n", ["vm2"], [], ["spoke:vm2 — vm2:eth0"]),
        (
            "internet: {prefix: 198.51.100.0/24}\n",
            ["internet"],
            [],
            ["hub:internet — internet:eth0", "spoke:internet — internet:eth1"],
        ),
    ],
)
def test_what_goes(old: str, gone: list[str], restarted: list[str], unlinked: list[str]) -> None:
    found = edited((old, ""))
    assert names(found) == ([], gone, restarted)
    assert [link_title(link) for link in found.unlinked] == unlinked
    assert found.linked == ()


def test_others_get_other_interfaces_at_a_node_that_keeps_running() -> None:
    found = edited(("  hub:", "  aside: {address_space: 10.9.0.0/16}\n  hub:"))
    assert names(found) == (["aside"], [], [])
    assert [link_title(link) for link in found.unlinked] == [
        "hub:internet — internet:eth0",
        "spoke:internet — internet:eth1",
    ]
    assert [link_title(link) for link in found.linked] == [
        "aside:internet — internet:eth0",
        "hub:internet — internet:eth1",
        "spoke:internet — internet:eth2",
    ]


def test_another_address_is_a_restart() -> None:
    found = edited(("vm1: hub/app", "vm1: {subnet: hub/app, address: 10.1.2.77}"))
    assert names(found) == ([], [], ["vm1: its interfaces change"])


def test_a_file_of_the_users_with_another_text_is_a_restart() -> None:
    own = TEXT.replace("asn: 65001,", "asn: 65001, config: my.conf,", 1)
    the_plan = plan(load_text(own, "own"))
    (path,) = [file.path for file in the_plan.files if file.own]
    assert difference(the_plan, the_plan).restarted == ()
    (found,) = difference(the_plan, the_plan, [path]).restarted
    assert (found.node.name, found.reason) == ("nva1", "its frr.conf changes")


def test_what_has_to_be_on() -> None:
    assert edited(SPOKE).involved == ("internet",)
    assert edited(PEERING).involved == ("hub", "spoke")
    assert edited(*SECOND).involved == ("nva1",)
