"""What is predicted of routes and packets, in labs that have everything; and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from labkit.azure.model import Azure, InstanceId
from labkit.errors import InvalidInput
from labkit.lab.load import load_text
from labkit.lab.model import Lab
from labkit.lab.running import carry_out
from labkit.operate.whatif import _cut_off, _unknown
from labkit.predict.azure_speakers import AdjRibsIn
from labkit.predict.converge import ConvergedNetwork, CustomerRouters, converge, everything_up
from labkit.predict.whatif.model import Prediction, predict
from labkit.predict.whatif.outside import Followers
from labkit.predict.whatif.reach import reach_changes
from labkit.predict.whatif.routes import advertisement_changes, nic_changes
from tests.unit.azure.builders import net
from tests.unit.operate.command_lines import trial

HUB = """
name: hub
virtual_networks:
  hub:
    address_space: 10.1.0.0/16
    subnets:
      RouteServerSubnet: 10.1.0.0/26
      GatewaySubnet: {prefix: 10.1.255.0/27, route_table: on-gateway}
      nvas: {prefix: 10.1.1.0/24, route_table: on-nva}
      work: {prefix: 10.1.10.0/24, route_table: on-work}
  spoke:
    address_space: 10.3.0.0/16
    subnets: {work: 10.3.1.0/24}
peerings:
  - {between: [spoke, hub]}
route_tables:
  on-gateway: {}
  on-nva: {}
  on-work: {}
route_servers:
  rs1: {virtual_network: hub, peers: [sdwan, fw]}
gateways:
  ergw: {type: ExpressRoute, virtual_network: hub, connects_to: [circuit1]}
circuits:
  circuit1: {connects_to: [onprem2]}
nvas:
  sdwan: {subnet: hub/nvas, asn: 65001, connects_to: [onprem1], advertises: [10.2.0.0/16, 10.3.0.0/16]}
  fw: {subnet: hub/nvas, asn: 65002, advertises: [0.0.0.0/0]}
sites:
  onprem1: {asn: 65010, prefixes: 10.250.0.0/16}
  onprem2: {asn: 65020, prefixes: 10.2.0.0/16}
internet: {prefix: 198.51.100.0/24}
virtual_machines:
  vm1: hub/work
  vm3: spoke/work
"""
LAB = load_text(HUB, "hub")


def settled(lab: Lab, azure: Azure | None = None) -> ConvergedNetwork:
    """A lab where everything is up, and whose Azure is `azure` or its file's, once its routing has converged."""
    azure = lab.azure if azure is None else azure
    outside = CustomerRouters(lab, azure)
    return converge(outside, azure, everything_up(lab, azure), {session: {} for session in outside.sessions})


def adj_ribs_in(lab: Lab, azure: Azure | None = None) -> AdjRibsIn:
    return settled(lab, azure).speakers.adj_ribs_in


def followers(lab: Lab, received: AdjRibsIn, azure: Azure) -> Followers:
    """NVAs and sites that advertise what the lab file configures, where route servers have `received` that."""
    customers, between = CustomerRouters(lab, azure), settled(lab, azure).routers.adj_rib_out
    return Followers(customers, azure, received, customers.adj_ribs_out(received, between, between))


def tried(words: str, lab: Lab = LAB, azure: Azure | None = None) -> Prediction:
    """What command lines would do to a lab whose Azure is `azure`, or its file's."""
    before = lab.azure if azure is None else azure
    found = trial(words, lab, before)
    after = carry_out(lab, before, found.changes).azure
    received = adj_ribs_in(lab, before)
    return predict(before, received, after, found.prepends, followers(lab, received, before))


def routes(prediction: Prediction) -> dict[str, dict[str, str]]:
    """Why which prefix changes, by NICs."""
    return {" ".join(c.nics): {str(r.prefix): r.why for r in c.routes} for c in nic_changes(prediction)}


HUBS_NICS = "sdwan fw vm1 ergw-0 ergw-1"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("route-server update --branch-to-branch on", {}),
        ("route-server update --branch-to-branch off", {}),
        ("route-server update --hub-routing-preference ASPath", {HUBS_NICS: {"10.2.0.0/16": "preference ASPath"}}),
        ("route-server update --hub-routing-preference ASPath, nva prepend sdwan 3", {}),
        ("nva prepend sdwan 1", {}),
        ("route-table add on-work 10.250.0.0/16 fw", {"vm1": {"10.250.0.0/16": "user-defined route"}}),
        ("route-table add on-work 10.250.0.0/16 fw, route-table remove on-work 10.250.0.0/16", {}),
        (
            "route-table update on-work --bgp-propagation off",
            {
                "vm1": {
                    "10.2.0.0/16": "BGP propagation off",
                    "10.250.0.0/16": "BGP propagation off",
                    "10.0.0.0/8": "no default route by BGP displaces it any more",
                    "0.0.0.0/0": "BGP propagation off",
                }
            },
        ),
        ("route-server peering delete rs1 sdwan", {HUBS_NICS: {"10.250.0.0/16": "no longer learned from sdwan"}}),
        (
            "vnet peering delete spoke hub",
            {
                HUBS_NICS: {"10.3.0.0/16": "no range of a virtual network any more"},
                "vm3": {"10.1.0.0/16": "no range of a virtual network any more"},
            },
        ),
        (
            "vnet update spoke --address-prefixes 10.3.0.0/16 10.33.0.0/16",
            {"vm3": {"10.33.0.0/16": "a range of a virtual network now"}},
        ),
        (
            "vnet update spoke --address-prefixes 10.3.0.0/16 10.33.0.0/16, vnet peering sync hub spoke",
            {
                HUBS_NICS: {"10.33.0.0/16": "a range of a virtual network now"},
                "vm3": {"10.33.0.0/16": "a range of a virtual network now"},
            },
        ),
        (
            "route-server delete rs1",
            {
                HUBS_NICS: {
                    "10.250.0.0/16": "route server rs1 is deleted",
                    "10.2.0.0/16": "route server rs1 is deleted",
                    "10.0.0.0/8": "no default route by BGP displaces it any more",
                    "0.0.0.0/0": "route server rs1 is deleted",
                }
            },
        ),
    ],
)
def test_which_routes_change_and_why(words: str, wanted: dict[str, dict[str, str]]) -> None:
    found = routes(tried(words))
    assert found.keys() == wanted.keys()
    for nics, reasons in wanted.items():
        assert reasons.items() <= found[nics].items()
        assert set(found[nics].values()) == set(reasons.values())


def test_a_spoke_that_uses_the_hubs_gateways() -> None:
    words = (
        "vnet peering update spoke hub --use-remote-gateways on, "
        "vnet peering update hub spoke --allow-gateway-transit on"
    )
    prediction = tried(words)
    found = routes(prediction)["vm3"]
    assert {found[p] for p in ("10.2.0.0/16", "10.250.0.0/16", "0.0.0.0/0")} == {"uses the gateways of hub"}
    assert found["10.0.0.0/8"] == "a default route by BGP displaces it"
    advertised = {(t.to, t.by, str(t.prefix), t.before, t.after) for t in advertisement_changes(LAB, prediction)}
    assert advertised == {
        ("sdwan", "rs1", "10.3.0.0/16", "-", "65515"),
        ("fw", "rs1", "10.3.0.0/16", "-", "65515"),
        ("onprem2", "circuit1", "10.3.0.0/16", "-", "12076"),
    }


def test_what_the_rules_drop_only_after_the_change_is_remembered() -> None:
    # The appliance advertises the spoke's own range: kept while the spoke is none of the hub's, dropped when it is.
    before = tried(
        "vnet peering update spoke hub --use-remote-gateways on, "
        "vnet peering update hub spoke --allow-gateway-transit on"
    )
    spoke = net("10.3.0.0/16")
    assert spoke in before.before.speakers.at_server[InstanceId("rs1", 0)]
    assert spoke not in before.after.speakers.at_server[InstanceId("rs1", 0)]
    off = trial("vnet peering update spoke hub --use-remote-gateways off", LAB, before.after.azure).changes
    after = predict(before.after.azure, before.after.adj_ribs_in, carry_out(LAB, before.after.azure, off).azure)
    assert spoke in after.after.speakers.at_server[InstanceId("rs1", 0)]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (
            "route-server update --branch-to-branch on",
            {
                ("onprem2-host", "onprem1-host"): "delivered through circuit1, ergw, sdwan",
                # The default route of the other appliance, which has no way out but its own NIC.
                ("onprem1-host", "internet"): "loops at fw",
                ("onprem2-host", "internet"): "loops at fw",
                ("onprem2-host", "vm3"): "delivered through circuit1, ergw",
            },
        ),
        (
            "route-table add on-work 10.250.0.0/16 None",
            {("vm1", "onprem1-host"): "dropped at vm1: 10.250.0.0/16 leads to None"},
        ),
        ("route-table add on-work 10.250.0.0/16 fw", {("vm1", "onprem1-host"): "delivered through fw, sdwan"}),
        (
            "route-table add on-work 10.250.0.0/16 vm3",
            {("vm1", "onprem1-host"): "dropped at vm3: IP forwarding is off on its NIC"},
        ),
        (
            "route-table add on-nva 0.0.0.0/0 Internet",
            {
                ("vm1", "internet"): "delivered through fw",
                ("sdwan", "internet"): "delivered",
                ("fw", "internet"): "delivered",
            },
        ),
        (
            "nic update sdwan --ip-forwarding off",
            dict.fromkeys(
                [
                    *((source, "onprem1-host") for source in ("vm1", "fw")),
                    *(("onprem1-host", target) for target in ("vm1", "vm3", "fw", "onprem2-host")),
                ],
                "dropped at sdwan: IP forwarding is off on its NIC",
            ),
        ),
        (
            "vnet peering update spoke hub --allow-forwarded-traffic off",
            {
                ("onprem1-host", "vm3"): "dropped at spoke: it accepts nothing from hub that is only forwarded there",
            },
        ),
        (
            "route-server update --hub-routing-preference ASPath",
            {(source, "onprem2-host"): "loops at sdwan" for source in ("vm1", "fw", "onprem1-host")}
            | {
                (
                    "sdwan",
                    "onprem2-host",
                ): "dropped at sdwan: the packet comes back to the node whose source address it has"
            },
        ),
    ],
)
def test_whose_packets_fare_otherwise(words: str, wanted: dict[tuple[str, str], str]) -> None:
    prediction = tried(words)
    found = reach_changes(LAB, prediction.before, prediction.after)
    assert {(p.source, p.target): " or ".join(map(str, p.after)) for p in found} == wanted


def test_appliances_that_lose_their_route_server_are_a_warning() -> None:
    prediction = tried("route-table add on-nva 10.1.0.0/26 None")
    assert [line.split(" of rs1")[0] for line in _cut_off(LAB, prediction)] == [
        f"{nva} would no longer reach 10.1.0.{i}" for nva in ("sdwan", "fw") for i in (4, 5)
    ]
    assert list(_cut_off(LAB, tried("route-table add on-nva 10.9.0.0/16 None"))) == []


@pytest.mark.parametrize(
    ("words", "message", "remedy"),
    [
        (
            "vnet peering update spoke hub --use-remote-gateways on",
            "Azure would refuse that: peering spoke to hub can't use remote gateways: hub doesn't allow gateway",
            "While spoke uses the gateways of hub, the peering hub to spoke must allow gateway transit",
        ),
        (
            "vnet peering update hub spoke --use-remote-gateways on",
            "Azure would refuse that: peering hub to spoke can't use remote gateways: hub has a route server of",
            "A virtual network with a route server of its own can't use another's",
        ),
        ("route-server peering delete rs1 fw2", "route server rs1 has no peer fw2", "Its peers are: sdwan, fw."),
        (
            "vnet peering delete hub hub2",
            "there is no peering hub to hub2.",
            "The lab's peerings: spoke to hub, hub to spoke.",
        ),
        ("route-server delete rs9", "there is no route server rs9", "The lab's route servers: rs1."),
        ("vnet update spoke --address-prefixes ' '", "labkit vnet update: no prefix given.", "Give all prefixes: "),
        (
            "vnet update spoke --address-prefixes 10.3.0.1/16",
            "10.3.0.1/16 is not an address prefix.",
            "The prefix is 10.3.0.0/16.",
        ),
        ("vnet update spoke --address-prefixes x", "x is not an address prefix.", "Write one such as 10.1.0.0/16."),
        ("vnet update spok --address-prefixes 10.3.0.0/16", "there is no virtual network spok", "The lab's virtual "),
        ("nic update vm9 --ip-forwarding on", "there is no NIC vm9.", "The lab's NICs: "),
        ("nic update ergw-0 --ip-forwarding off", "there is no NIC ergw-0.", "The lab's NICs: "),
        (
            "vnet update spoke --address-prefixes 10.3.0.0/16 224.0.0.0/8",
            "224.0.0.0/8 overlaps 224.0.0.0/4, which Azure",
            "Use a priv",
        ),
        ("vnet update spoke --address-prefixes 10.3.0.0/16 10.4.0.0/30", "10.4.0.0/30 is too small", "Azure accepts /"),
        (
            "vnet update spoke --address-prefixes 10.33.0.0/16",
            "Azure would refuse that: subnet work (10.3.1.0/24) of spoke would lie outside its address space",
            "Keep the ranges that have subnets.",
        ),
        (
            "route-table update on-gateway --bgp-propagation off",
            "Azure would refuse that: route table on-gateway disables BGP route propagation",
            "Keep propagation on there",
        ),
        (
            "route-table add on-gateway 0.0.0.0/0 fw",
            "Azure would refuse that: route table on-gateway has a route for 0.0.0.0/0",
            "Give GatewaySubnet a route table of its own",
        ),
        (
            "route-server update rs9 --branch-to-branch on",
            "there is no route server rs9.",
            "The lab's route servers: rs1.",
        ),
        (
            "route-table update x --bgp-propagation on",
            "there is no route table x.",
            "The lab's route tables: on-gateway, on-nva, on-work.",
        ),
        ("nva prepend vm1 2", "vm1 is not an NVA that peers with a route server.", "These are: sdwan, fw."),
        ("nva prepend fw -1", "fw does not prepend its ASN once to ", "Look: labkit learned"),
        (
            "vnet peering update hub elsewhere --use-remote-gateways on",
            "there is no peering hub to elsewhere.",
            "The lab's peerings: ",
        ),
        (
            "route-table add on-work 10.9.0.0/16 vm9",
            "route 10.9.0.0/16: vm9 is not a next hop.",
            "Write Internet, Vnet",
        ),
        (
            "route-table add on-work 10.9.0.0/16 VNetPeering",
            "route 10.9.0.0/16: VNetPeering can't be a next hop: peerings bring their routes by themselves",
            "Write Internet, VnetLocal, VirtualNetworkGateway, None",
        ),
        ("route-table create on-work", "route table on-work already exists.", "Change it: "),
        ("route-table associate on-work spoke", "spoke is not a subnet.", "Write VNET/SUBNET"),
        ("route-server create rs9", "the lab has no nodes for a route server rs9.", "Its file declares: rs1."),
        ("route-server peering create rs1 nva9", "nva9 is not an NVA of this lab", "Give --peer-asn and --peer-ip."),
        ("route-server peering create rs1 fw --peer-asn 0", "0 is not an ASN.", "Use a private one"),
        ("route-server peering create rs1 fw --peer-ip 10.1", "10.1 is not an IPv4 address.", "Write one such as"),
        ("vnet peering create spoke hub", "the peering spoke to hub already exists.", "Change it: labkit vnet peering"),
        ("vnet peering update spoke hub", "labkit vnet peering update: nothing to change.", "Give --use-remote-gat"),
        ("route-server update rs1", "labkit route-server update: nothing to change.", "Give --branch-to-branch"),
        ("nva prepend fw 0", "labkit whatif nva prepend: 0 is not between 1 and 20, or -20 and -1.", "Give the number"),
        ("nva prepend fw 21", "labkit whatif nva prepend: 21 is not between 1 and 20", "Give the number"),
        ("", "labkit whatif: nothing to try.", "Name a verb that changes the lab: route-server, route-table,"),
        (",", "labkit whatif: nothing to try.", "Name a verb that changes the lab: route-server, route-table,"),
        ("route-servr delete rs1", "labkit whatif: route-servr is not a verb that", "Did you mean route-server?"),
        ("status", "labkit whatif: status is not a verb that changes the lab.", "These change the lab: route-server"),
    ],
)
def test_what_is_refused(words: str, message: str, remedy: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        tried(words)
    assert raised.value.message.startswith(message)
    assert raised.value.remedy.startswith(remedy)


def test_what_azure_accepts_although_it_does_not_work() -> None:
    found = tried("route-table add on-gateway 10.1.0.0/24 fw, route-server update --branch-to-branch on").warnings
    assert found == ("route table on-gateway diverts traffic of ergw to 10.1.0.4 of rs1.",)


def test_what_azure_never_refuses_leaves_other_changes_to_be_refused() -> None:
    deleted = tried("vnet peering delete spoke hub, vnet peering delete hub spoke")
    assert deleted.after.azure.peerings == ()
    with pytest.raises(InvalidInput, match=r"there is no peering spoke to hub"):
        tried("vnet peering delete spoke hub, vnet peering delete spoke hub")
    with pytest.raises(InvalidInput, match="would lie outside"):
        tried("vnet update spoke --address-prefixes 10.33.0.0/16, route-server peering delete rs1 fw")


def test_a_deleted_route_server_advertises_nothing() -> None:
    advertised = {
        (t.to, t.by, str(t.prefix), t.before, t.after)
        for t in advertisement_changes(LAB, tried("route-server delete rs1"))
    }
    ended = {(nva, "rs1", "10.1.0.0/16", "65515", "-") for nva in ("sdwan", "fw")}
    assert advertised == ended | {("onprem1", "sdwan", "10.1.0.0/16", "65001-65515", "-")}


TWO_HUBS = load_text((Path(__file__).parents[3] / "topologies" / "dual-homed-expressroute" / "lab.yml").read_text(), "")


def test_what_nvas_pass_on_is_followed() -> None:
    """On-premises by NVAs alone: what a hub's route server advertises to one reaches the spoke's through it."""
    found = routes(tried("route-server update rs1 --branch-to-branch off", TWO_HUBS))
    assert found["vm02"]["10.2.13.0/25"] == "gone from csr1 and csr2"
    prediction = tried("nva prepend csr1 3", TWO_HUBS)
    advertised = {(t.to, t.by, str(t.prefix), t.before, t.after) for t in advertisement_changes(TWO_HUBS, prediction)}
    spoke = "65515-65001-65001-12076-65021"
    assert ("csr2", "rs0", "10.2.13.0/25", spoke, spoke.replace("65001-65001", "-".join(["65001"] * 5))) in advertised
    assert prediction.unknown == ()


def test_what_a_learner_has_changed_by_hand_stays() -> None:
    """Prepends go along with what is followed; what the lab file does not explain stays as it is, and is a warning."""
    before = tried("nva prepend csr1 3", TWO_HUBS).after
    customers = CustomerRouters(TWO_HUBS, TWO_HUBS.azure)

    def predicted(received: AdjRibsIn, words: str) -> Prediction:
        now = customers.adj_ribs_out(received, settled(TWO_HUBS).routers.adj_rib_out, customers.sessions)
        after = carry_out(TWO_HUBS, TWO_HUBS.azure, trial(words, TWO_HUBS).changes).azure
        follow = Followers(customers, TWO_HUBS.azure, received, now)
        return predict(TWO_HUBS.azure, received, after, followers=follow)

    off = "route-server update rs1 --branch-to-branch off"
    assert predicted(before.adj_ribs_in, off).unknown == ()
    wider = "vnet update vnet1 --address-prefixes 10.101.0.0/16 10.111.0.0/16"
    new = predicted(before.adj_ribs_in, wider).after.adj_ribs_in.servers[InstanceId("rs0", 0)][net("10.111.0.0/16")]
    assert ("csr1", (65001,) * 5) in {(path.peer.name, path.attributes.as_path) for path in new}
    paths = before.adj_ribs_in.servers[InstanceId("rs0", 0)][net("10.2.13.0/25")]
    marked = tuple(replace(path, attributes=replace(path.attributes, communities=((1, 1),))) for path in paths)
    servers = {i: {**table} for i, table in before.adj_ribs_in.servers.items()}
    for i in (0, 1):
        servers[InstanceId("rs0", i)][net("10.2.13.0/25")] = marked
    prediction = predicted(replace(before.adj_ribs_in, servers=servers), off)
    assert {(each.router, each.neighbour, str(each.prefix)) for each in prediction.unknown} >= {
        ("csr1", "rs0-0", "10.2.13.0/25"),
        ("csr1", "rs0-1", "10.2.13.0/25"),
    }
    assert net("10.2.13.0/25") in prediction.after.speakers.at_server[InstanceId("rs0", 0)]
    assert next(_unknown(prediction)).startswith(
        "csr1 would receive other routes, but what it advertises to rs0-0 of 10.2.13.0/25"
    )
