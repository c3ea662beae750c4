"""Which BGP sessions are expected to be up, and which known traps leave down."""

from __future__ import annotations

import pytest

from labkit.azure.changes.base import Change
from labkit.azure.changes.route_servers import DeletePeer, PutPeer, SetRouteServerSettings
from labkit.lab.load import load_text
from labkit.lab.plan.bgp_sessions import bgp_sessions
from labkit.lab.running import carry_out
from labkit.predict.sessions import comes_to_rest, cut_sessions, expected_sessions, session_warnings
from tests.unit.predict.test_converge import CHASE

HUB = """
name: hub
virtual_networks:
  hub:
    address_space: 10.1.0.0/16
    subnets:
      RouteServerSubnet: 10.1.0.0/26
      GatewaySubnet: {prefix: 10.1.255.0/27, route_table: on-gateway}
      nvas: {prefix: 10.1.1.0/24, route_table: on-nvas}
      far: {prefix: 10.1.2.0/24, route_table: on-far}
route_tables:
  on-gateway: {routes: {}}
  on-nvas: {routes: {}}
  on-far: {routes: {}}
route_servers:
  rs1: {virtual_network: hub, branch_to_branch: true, peers: [nva1, nva2]}
gateways:
  ergw: {type: ExpressRoute, virtual_network: hub, connects_to: [circuit1]}
circuits:
  circuit1: {connects_to: [onprem]}
nvas:
  nva1: {subnet: hub/nvas, asn: 65001, connects_to: [branch], overlays: [nva2], advertises: [10.3.0.0/16, 10.4.0.0/16]}
  nva2: {subnet: hub/far, asn: 65002, stateful: false}
sites:
  branch: {asn: 65010, prefixes: 10.250.0.0/16}
  onprem: {asn: 65020, prefixes: 10.2.0.0/16}
"""
GATEWAYS = {f"rs1-{i} - ergw-{j}" for i in (0, 1) for j in (0, 1)}


def down(text: str, *changes: Change) -> set[str]:
    """The sessions that are not expected, of a lab as operators have changed it."""
    lab = load_text(text, "lab.yml")
    azure = carry_out(lab, lab.azure, changes).azure
    expected = {str(session) for session in expected_sessions(lab, azure)}
    return {str(session) for session in bgp_sessions(lab)} - expected


def both(nva: str) -> set[str]:
    return {f"rs1-0 - {nva}", f"rs1-1 - {nva}"}


BETWEEN = """
name: between
virtual_networks:
  hub:
    address_space: 10.1.0.0/16
    subnets: {mid: 10.1.1.0/24, a: {prefix: 10.1.2.0/24, route_table: on-a}, b: 10.1.3.0/24}
route_tables:
  on-a: {routes: {10.1.3.0/24: mid}}
nvas:
  mid: {subnet: hub/mid, snat: all}
  nva1: {subnet: hub/a, asn: 65001, peers_with: [nva2]}
  nva2: {subnet: hub/b, asn: 65002}
"""


@pytest.mark.parametrize(("snat", "sessions"), [("all", {"nva1 - nva2"}), ("true", set()), ("false", set())])
def test_an_nva_that_gives_packets_its_own_address_leaves_sessions_down(snat: str, sessions: set[str]) -> None:
    assert down(BETWEEN.replace("snat: all", f"snat: {snat}")) == sessions


def at_rest(text: str) -> bool:
    lab = load_text(text, "lab.yml")
    return comes_to_rest(lab, lab.azure)


def test_all_are_expected_where_nothing_is_in_their_way() -> None:
    assert down(HUB) == set()


@pytest.mark.parametrize(
    ("before", "after", "sessions"),
    [
        ("peers: [nva1, nva2]", "peers: [nva1: {asn: 65009}, nva2]", both("nva1")),
        ("peers: [nva1, nva2]", "peers: [nva1: {address: 10.1.1.99}, nva2]", both("nva1")),
        ("branch_to_branch: true", "branch_to_branch: false", GATEWAYS),
        ("on-nvas: {routes: {}}", "on-nvas: {routes: {10.1.0.0/26: None}}", both("nva1")),
        ("on-gateway: {routes: {}}", "on-gateway: {routes: {10.1.0.0/26: None}}", GATEWAYS),
        ("on-far: {routes: {}}", "on-far: {routes: {10.1.1.0/24: None}}", {"nva1 - nva2"}),
        ("on-nvas: {routes: {}}", "on-nvas: {routes: {10.1.0.0/26: nva2}}", set()),
        ("peers: [nva1, nva2]", "peers: [nva1, nva2], total_prefixes: 1", both("nva1") | both("nva2") | GATEWAYS),
    ],
)
def test_a_trap_of_the_lab_file_leaves_sessions_down(before: str, after: str, sessions: set[str]) -> None:
    assert before in HUB
    assert down(HUB.replace(before, after)) == sessions


def test_a_stateful_appliance_on_the_way_sees_one_direction_alone() -> None:
    through = HUB.replace("on-nvas: {routes: {}}", "on-nvas: {routes: {10.1.0.0/26: nva2}}")
    assert down(through.replace("stateful: false", "stateful: true")) == both("nva1")


def test_a_peer_that_advertises_more_than_its_limit_is_torn_down() -> None:
    limited = HUB.replace("overlays: [nva2], ", "").replace("[nva1, nva2]", "[nva1, nva2], routes_per_peer: 3")
    # What a route server drops counts, too: without these rules both would advertise its own paths back to it.
    for asn in ("asn: 65001,", "asn: 65002,"):
        limited = limited.replace(asn, f"{asn} exports: [{{as_path: 65515, deny: true}}],")
    assert down(limited) == set(), "two prefixes of its own, and the branch's"
    beyond = limited.replace("routes_per_peer: 3", "routes_per_peer: 2")
    assert down(beyond) == both("nva1")
    assert at_rest(limited)
    assert not at_rest(beyond), "it comes back, and is torn down again"


def test_a_circuit_has_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labkit.azure.rules.limits.GATEWAY_TO_CIRCUIT_ROUTES", 2)
    assert down(HUB) == {"ergw-0 - circuit1", "ergw-1 - circuit1"}
    monkeypatch.undo()
    monkeypatch.setattr("labkit.predict.sessions.CUSTOMER_TO_CIRCUIT_ROUTES", 0)
    assert down(HUB) == {"circuit1 - onprem"}


def test_what_operators_change_counts() -> None:
    peer = load_text(HUB, "lab.yml").azure.route_server["rs1"].peers[0]
    assert down(HUB, DeletePeer("rs1", "nva1")) == both("nva1")
    assert down(HUB, DeletePeer("rs1", "nva1"), PutPeer("rs1", "again", peer.asn, peer.address)) == set()
    assert down(HUB, SetRouteServerSettings("rs1", False)) == GATEWAYS


def test_where_routing_never_converges_all_that_are_configured_are_expected() -> None:
    assert down(CHASE) == set()
    assert not at_rest(CHASE)
    assert down(CHASE.replace("peers: [nva]", "peers: [nva: {asn: 65009}]")) == both("nva")


def test_a_session_has_its_own_address_as_source_and_not_that_of_a_nic() -> None:
    """The policy routing of NICs concerns neither a link's packets nor a loopback's."""
    text = """
name: policy
virtual_networks:
  hub: {address_space: 10.1.0.0/16, subnets: {out: 10.1.1.0/24, in: {prefix: 10.1.2.0/24, route_table: loops}}}
route_tables: {loops: {routes: {10.99.0.1/32: fw1/inside, 10.99.0.2/32: fw2}}}
nvas:
  fw1:
    asn: 65001
    policy_routing: true
    nics: {outside: hub/out, inside: hub/in}
    loopback: 10.99.0.1
    connects_to: [branch]
    peers_with: [fw2]
  fw2: {subnet: hub/in, asn: 65002, loopback: 10.99.0.2, peers_with: [fw1/inside]}
sites: {branch: {asn: 65010, prefixes: 10.250.0.0/16}}
"""
    lab = load_text(text, "policy")
    expected = [str(session) for session in expected_sessions(lab, lab.azure)]
    assert expected == ["fw1 - fw2", "fw1 - branch"]


CUT = """
name: cut
internet: 198.51.100.0/24
virtual_networks:
  hub1:
    address_space: 10.1.0.0/16
    subnets: {RouteServerSubnet: 10.1.0.0/26, nvas: {prefix: 10.1.1.0/24, route_table: on-nvas}, work: 10.1.10.0/24}
  hub2: {address_space: 10.2.0.0/16, subnets: {nvas: 10.2.1.0/24}}
route_tables:
  on-nvas: {routes: {}}
route_servers:
  rs1: {virtual_network: hub1, peers: [csr1, fw]}
nvas:
  csr1: {subnet: hub1/nvas, asn: 65001, as_override: true, overlays: [{csr2: {public: true}}]}
  csr2: {subnet: hub2/nvas, asn: 65002}
  fw: {subnet: hub1/work, asn: 65003}
"""


def cut(text: str) -> list[tuple[str, str, bool, bool]]:
    lab = load_text(text, "lab.yml")
    found = cut_sessions(lab, lab.azure)
    assert [w.text for w in session_warnings(lab)] == [*map(str, found)]
    return [(str(each.session), each.how, each.comes_up, each.returns) for each in found]


def test_bgp_itself_ends_the_session_of_a_public_overlay() -> None:
    """By a default route that goes elsewhere; for good, or until its own route is gone with it."""
    assert cut(CUT) == []
    elsewhere = CUT.replace("asn: 65003", "asn: 65003, advertises: 0.0.0.0/0")
    assert cut(elsewhere) == [("csr1 - csr2", "from csr1: loop at NIC csr1 by 0.0.0.0/0", True, False)]
    by_itself = CUT.replace("asn: 65002", "asn: 65002, advertises: 0.0.0.0/0")
    ((session, _, comes_up, returns),) = cut(by_itself)
    assert (session, comes_up, returns) == ("csr1 - csr2", True, True)
    lab = load_text(by_itself, "lab.yml")
    assert "comes up and ends again and again" in str(cut_sessions(lab, lab.azure)[0])
    own_way = "on-nvas: {routes: {198.51.100.0/24: Internet}}"
    assert cut(elsewhere.replace("on-nvas: {routes: {}}", own_way)) == []


def test_where_only_bgp_could_lead_a_session_may_never_come_up() -> None:
    """A lab file alone does not show whether it does."""
    black_hole = CUT.replace("on-nvas: {routes: {}}", "on-nvas: {routes: {198.51.100.0/24: None}}")
    assert cut(black_hole) == [("csr1 - csr2", "from csr1: next hop None at NIC csr1 by 198.51.100.0/24", False, False)]
