"""BIRD's output, as BIRD 2.17 printed it in a lab, as tables."""

from __future__ import annotations

from labkit.azure.model import Origin, PathAttributes
from labkit.azure.rules.communities import NO_EXPORT
from labkit.daemons.bird import tables
from labkit.daemons.registry import DAEMONS
from labkit.daemons.speaker import InternalAttributes
from labkit.daemons.tables import LOCAL, BgpNeighbour, BgpPath
from tests.unit.azure.builders import addr, net

STATUS = """BIRD 2.17.6
Router ID is 10.1.1.4
Hostname is edge
Current server time is 2026-11-30 13:45:53.645072
Last reboot on 2026-11-30 13:45:42.872679
Last reconfiguration on 2026-11-30 13:45:42.872679
Daemon is up and running
"""
PROTOCOLS = """Name       Proto      Table      State  Since         Info
device1    Device     ---        up     2026-11-30 13:45:42.872683

originated Static     master4    up     2026-11-30 13:45:42.872683
  Channel ipv4
    State:          UP
    Routes:         2 imported, 0 exported, 2 preferred

rs1-0:10.1.0.4 BGP        ---        up     2026-11-30 13:45:43.645072  Established
  Description:    rs1-0
  BGP state:          Established
    Neighbor address: 10.1.0.4
    Neighbor AS:      65515
    Local AS:         65001
    Neighbor ID:      10.1.0.4
    Hold timer:       153.737/180
  Channel ipv4
    State:          UP
    Routes:         2 imported, 3 exported, 2 preferred
    Route change stats:     received   rejected   filtered    ignored   accepted
      Import updates:              2          0          0          0          2

rs1-1:10.1.0.5 BGP        ---        up     2026-11-30 13:45:43.703654  Established
  BGP state:          Established
    Neighbor address: 10.1.0.5
    Neighbor AS:      65515
  Channel ipv4
    State:          UP
    Routes:         1 imported, 5 exported, 0 preferred

branch:192.168.0.2 BGP        ---        down   2026-11-30 13:45:50.000000
  BGP state:          Down
    Neighbor address: 192.168.0.2
    Neighbor AS:      65010
    Local AS:         65001
  Channel ipv4
    State:          DOWN
    Table:          master4

v6         BGP        ---        start  2026-11-30 13:45:50.000000  Active
  BGP state:          Active
    Neighbor address: fd00::1
    Neighbor AS:      65010

"""
BEST = """\
10.20.0.0/16         unicast [rs1-0:10.1.0.4 2026-11-30 13:45:43.645112 from 10.1.0.4] * (100) [AS65100i]
	via 10.1.1.1 on eth0
	Type: BGP univ
	BGP.origin: IGP
	BGP.as_path: 65515 {12076 65100}
	BGP.next_hop: 10.1.0.4
	BGP.local_pref: 100
	BGP.community: (65515,7) (65535,65281)
"""
ROUTES = f"""Table igp4:
0.0.0.0/0            unicast [node 2026-11-30 13:45:42.872665] * (200)
	via 10.1.1.1 on eth0
	Type: static univ
	igp_metric: 0
10.1.1.0/24          unicast [direct1 2026-11-30 13:45:42.872665] * (240)
	dev eth0
	Type: device univ

Table kernel4:
{BEST}
Table master4:
{BEST}                     unicast [rs1-1:10.1.0.5 2026-11-30 13:45:43.703727 from 10.1.0.5] (100) [AS65100?]
	via 10.1.1.1 on eth0
	Type: BGP univ
	BGP.origin: Incomplete
	BGP.as_path: 65515 12076 65100
	BGP.next_hop: 10.1.0.9
	BGP.med: 5
	BGP.local_pref: 100
10.9.0.0/16          unreachable [originated 2026-11-30 13:45:42.872665] * (200)
	Type: static univ
                     unreachable [rs1-0:10.1.0.4 2026-11-30 13:45:43.645112 from 10.1.0.4] (100/-) [AS65515i]
	Type: BGP univ
	BGP.origin: IGP
	BGP.as_path: 65515
	BGP.next_hop: 10.1.0.4
	BGP.local_pref: 100
"""
FIRST = PathAttributes(addr("10.1.0.4"), (65515, frozenset({12076, 65100})), communities=((65515, 7), NO_EXPORT))
SECOND = PathAttributes(addr("10.1.0.9"), (65515, 12076, 65100), Origin.INCOMPLETE, 5)


def test_the_whole_table() -> None:
    query = tables.table()
    assert query.lines == ("show status", "show protocols all", "show route all table all")
    table = query.read(STATUS + PROTOCOLS + ROUTES)
    assert table.states == {
        addr("10.1.0.4"): "Established",
        addr("10.1.0.5"): "Established",
        addr("192.168.0.2"): "Idle",
    }
    assert table.adj_rib_in(addr("10.1.0.5")) == {net("10.20.0.0/16"): SECOND}
    assert set(table.adj_rib_in(addr("10.1.0.4"))) == {net("10.20.0.0/16"), net("10.9.0.0/16")}
    assert table.loc_rib == {net("10.20.0.0/16")}, "what it originates itself is better than a neighbour's path"


def test_a_path_that_a_pipe_has_copied_is_one_path() -> None:
    found = tables.table().read(STATUS + PROTOCOLS + ROUTES).paths
    assert [path for path in found if path.prefix == net("10.20.0.0/16")] == [
        BgpPath(net("10.20.0.0/16"), addr("10.1.0.5"), SECOND, best=False),
        BgpPath(net("10.20.0.0/16"), addr("10.1.0.4"), FIRST, best=True),
    ]


def test_the_neighbours() -> None:
    query = tables.neighbours()
    assert query.lines == ("show status", "show protocols all")
    assert query.read(STATUS + PROTOCOLS) == (
        BgpNeighbour(addr("10.1.0.4"), 65515, "Established", 10.0, 0, 0, 2),
        BgpNeighbour(addr("10.1.0.5"), 65515, "Established", 9.941418, 0, 0, 1),
        BgpNeighbour(addr("192.168.0.2"), 65010, "Idle", 3.645072, 0, 0, 0),
    )


def test_the_paths_for_a_prefix() -> None:
    query = tables.paths("10.20.0.0/16")
    assert query.lines[-1] == "show route 10.20.0.0/16 all table all"
    found = query.read(STATUS + PROTOCOLS + ROUTES[: ROUTES.index("10.9.0.0/16")])
    assert [(path.neighbour, path.rejected) for path in found] == [
        (addr("10.1.0.4"), ""),
        (addr("10.1.0.5"), "its AS path is longer"),
    ]


def test_what_it_originates_is_a_path_of_its_own() -> None:
    routes = ROUTES[ROUTES.index("Table master4") : ROUTES.index("10.20", ROUTES.index("Table master4"))]
    found = tables.paths("10.9.0.0/16").read(STATUS + PROTOCOLS + routes + ROUTES[ROUTES.index("10.9.0.0/16") :])
    assert [(path.neighbour, path.best, path.rejected) for path in found] == [
        (LOCAL, True, ""),
        (addr("10.1.0.4"), False, "its next hop can't be reached"),
    ]


def test_commands_for_people() -> None:
    assert tables.shown() == ("birdc", "show", "route", "all")
    assert DAEMONS["bird"].tables.shown_as_json() is None
    assert tables.sessions_shown() == ("birdc", "show", "protocols")


def test_times_as_bird_prints_them_by_default() -> None:
    short = PROTOCOLS.replace("2026-11-30 13:45:43.645072", "13:45:43.645").replace(
        "2026-11-30 13:45:50.000000", "long ago"
    )
    found = tables.neighbours().read(STATUS + short)
    assert [(str(each.address), round(each.seconds, 1)) for each in found] == [
        ("10.1.0.4", 10.0),
        ("10.1.0.5", 9.9),
        ("192.168.0.2", 0.0),
    ]


def test_paths_of_internal_neighbours_have_what_reflectors_add() -> None:
    """Those of neighbours with the router's own ASN alone: BIRD shows a local preference for all."""
    protocols = PROTOCOLS.replace(
        "Neighbor AS:      65515\n    Local AS:         65001",
        "Neighbor AS:      65001\n    Local AS:         65001",
        1,
    )
    assert protocols != PROTOCOLS
    more = "\tBGP.originator_id: 10.1.1.6\n\tBGP.cluster_list: 10.1.1.4 10.1.1.5\n"
    routes = ROUTES.replace("\tBGP.local_pref: 100\n\tBGP.community", f"\tBGP.local_pref: 120\n{more}\tBGP.community")
    table = tables.table().read(STATUS + protocols + routes)
    assert table.adj_rib_in(addr("10.1.0.4"))[net("10.20.0.0/16")] == InternalAttributes(
        *(FIRST.next_hop, FIRST.as_path, FIRST.origin, FIRST.med, FIRST.communities),
        local_pref=120,
        originator_id=addr("10.1.1.6"),
        cluster_list=(addr("10.1.1.4"), addr("10.1.1.5")),
    )
    assert table.adj_rib_in(addr("10.1.0.5")) == {net("10.20.0.0/16"): SECOND}
