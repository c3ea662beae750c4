"""Networks on premises behind a VPN gateway: user-defined routes that lead there, connections that come and go."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from labkit.azure.changes.gateways import CreateConnection, CreateGateway, DeleteConnection, DeleteGateway
from labkit.azure.changes.route_tables import DeleteRoute, PutRoute
from labkit.azure.changes.virtual_networks import PutPeering
from labkit.azure.model import NextHopType
from labkit.cli.app import run as labkit
from labkit.errors import InvalidInput
from labkit.operate.diff.run import differences
from labkit.operate.look.probes import ping
from labkit.pytest import Boot, RunningLab
from tests.e2e.in_lab import (
    effective,
    gateways,
    lab_file,
    nothing_differs,
    problems,
    wait_until_programmed,
    without_bgpd,
)
from tests.e2e.waiting import SOON, eventually

HUB, BRANCH, SHOP, OFFICE = (IPv4Network(f"10.{n}.0.0/16") for n in (1, 250, 251, 252))
BRANCH_HOST = IPv4Address("10.250.0.10")


@pytest.fixture(scope="module")
def lab(labkit_lab: Boot) -> RunningLab:
    return labkit_lab(lab_file("premises"))


def test_every_proof_holds_and_nothing_differs_from_the_rules(lab: RunningLab) -> None:
    assert problems(lab, SOON) == []
    nothing_differs(lab)


def test_user_defined_routes_lead_to_the_gateway(lab: RunningLab) -> None:
    """To both its instances [route-to-gateway]."""
    one, other = lab.lab.azure.gateway["vpngw"].instances
    assert gateways(lab, "vm2", BRANCH) == (one, other)
    lab.client.change(PutRoute("to-branch", OFFICE, NextHopType.VIRTUAL_NETWORK_GATEWAY))
    eventually(lambda: gateways(lab, "vm2", OFFICE), lambda hops: hops == (one, other))
    lab.client.change(DeleteRoute("to-branch", OFFICE))
    eventually(lambda: gateways(lab, "vm2", OFFICE), lambda hops: hops is None)
    assert problems(lab, SOON) == []


def test_connections_come_and_go(lab: RunningLab) -> None:
    """With the routes that they bring, by BGP and without; a gateway's daemon that dies does not bring one back."""
    vm1, vm2 = (lab.lab.azure.nic[nic].address for nic in ("vm1", "vm2"))
    both = [CreateConnection(f"vpngw-{name}", "vpngw", f"vpngw-{name}") for name in ("branch", "shop")]
    lab.client.change(*(DeleteConnection(each.connection) for each in both))
    for prefix in (BRANCH, SHOP):
        eventually(lambda prefix=prefix: gateways(lab, "vm1", prefix), lambda hops: hops is None)  # type: ignore[misc]
    eventually(lambda: gateways(lab, "branch", HUB), lambda hops: hops is None)
    wait_until_programmed(lab)
    assert not ping(lab.client, "shop-host", vm1)
    assert not ping(lab.client, "vm2", BRANCH_HOST), "a user-defined route leads to the gateway, which has none"
    each_other = {*map(str, lab.lab.azure.gateway["vpngw"].instances)}
    eventually(
        lambda: {row["neighbor"] for row in lab.client.get("gateways", "vpngw", "bgp-peers")["value"]},
        lambda neighbours: neighbours == each_other,
    )
    with without_bgpd(lab, "vpngw-0"):
        pass
    nothing_differs(lab)
    assert {each.connection for each in lab.client.changes() if isinstance(each, DeleteConnection)} == {
        each.connection for each in both
    }

    lab.client.change(*both)
    eventually(lambda: gateways(lab, "vm1", SHOP) == gateways(lab, "vm1", BRANCH) is not None, bool)
    for source, target in (("shop-host", vm1), ("vm2", BRANCH_HOST), ("branch-host", vm2)):
        eventually(lambda s=source, t=target: ping(lab.client, s, t), bool)  # type: ignore[misc]
    assert lab.client.changes() == ()
    assert problems(lab, SOON) == []


def test_what_a_connection_brings_is_predicted(lab: RunningLab, capsys: pytest.CaptureFixture[str]) -> None:
    name = lab.client.record.lab
    assert labkit(["whatif", "gateway", "connection", "delete", "vpngw", "shop", "--lab", name]) == 0
    assert str(SHOP) in capsys.readouterr().out
    assert labkit(["gateway", "connection", "delete", "vpngw", "shop", "--lab", name]) == 0
    assert labkit(["whatif", "gateway", "connection", "create", "vpngw", "shop", "--lab", name]) == 0
    assert f"{SHOP}" in capsys.readouterr().out
    assert labkit(["gateway", "connection", "create", "vpngw", "shop", "--lab", name]) == 0
    assert labkit(["gateway", "connection", "list", "--lab", name]) == 0
    assert "vpngw-shop" in capsys.readouterr().out
    assert labkit(["gateway", "connection", "create", "vpngw", "office", "--lab", name]) == 2
    assert "the lab has no connection of vpngw to office" in capsys.readouterr().err
    assert problems(lab, SOON) == []


def test_a_lab_follows_its_file_with_a_connection_and_a_gateway_less(lab: RunningLab, tmp_path: Path) -> None:
    """And with them again; the connections that stay keep their sessions."""
    built, file, name = Path(lab.client.record.lab_file), tmp_path / "edited.lab.yml", lab.client.record.lab

    def without(*texts: str) -> None:
        text = built.read_text().partition("\nproofs:")[0]
        for each in texts:
            assert text.count(each) == 1, each
            text = text.replace(each, "")
        file.write_text(text)
        assert labkit(["apply", str(file), "--lab", name]) == 0

    def settled() -> bool:
        return [str(d) for d in differences(lab.lab, lab.client)] == []

    def sessions() -> list[float | None]:
        return [session["since"] for session in lab.client.get("status")["gateways"]]

    since = sessions()
    without(", {shop: {bgp: false, remote_prefixes: [10.1.0.0/16, 10.250.0.0/16]}}")
    assert lab.client.changes() == (DeleteConnection("vpngw-shop"),)
    eventually(lambda: gateways(lab, "vm1", SHOP), lambda hops: hops is None)
    eventually(settled, bool)
    assert sessions() == since

    (gateway,) = [line for line in built.read_text().splitlines() if line.startswith("  vpngw:")]
    without(f"gateways:\n{gateway}\n", ", use_remote_gateways: spoke, allow_gateway_transit: hub")
    eventually(lambda: gateways(lab, "vm1", BRANCH), lambda hops: hops is None)
    eventually(settled, bool)
    assert lab.client.get("gateways") == []
    assert labkit(["apply", str(built), "--lab", name]) == 0
    assert lab.client.changes() == ()
    eventually(lambda: gateways(lab, "vm1", SHOP) == gateways(lab, "vm1", BRANCH) is not None, bool)
    assert problems(lab, SOON) == []


def test_a_gateway_is_deleted_and_created_with_one_instance(lab: RunningLab) -> None:
    """Its nodes stay; a reset makes it active-active again."""
    gateway = lab.lab.azure.gateway["vpngw"]
    deletions = [DeleteConnection("vpngw-branch"), DeleteConnection("vpngw-shop"), DeleteGateway("vpngw")]
    with pytest.raises(InvalidInput, match="has connections"):
        lab.client.change(DeleteGateway("vpngw"))
    lab.client.change(PutPeering("spoke", "hub", use_remote_gateways=False))
    lab.client.change(*deletions)
    eventually(lambda: gateways(lab, "vm1", BRANCH), lambda hops: hops is None)
    eventually(lambda: effective(lab, "vm2", BRANCH), [("User", "Active", "None", [])].__eq__)
    nothing_differs(lab)
    lab.client.change(
        CreateGateway("vpngw", "hub", gateway.kind, gateway.instances[:1], gateway.asn),
        CreateConnection("vpngw-branch", "vpngw", "vpngw-branch"),
    )
    public = gateway.public_addresses[0]
    eventually(lambda: gateways(lab, "vm1", BRANCH), lambda hops: hops == (public,))
    eventually(lambda: ping(lab.client, "vm1", BRANCH_HOST), bool)
    nothing_differs(lab)

    assert labkit(["reset", "--lab", lab.client.record.lab]) == 0
    eventually(lambda: gateways(lab, "vm1", BRANCH), lambda hops: hops == gateway.instances)
    assert lab.client.changes() == ()
    assert problems(lab, SOON) == []
