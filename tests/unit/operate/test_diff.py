"""`labkit diff` without a lab: one as the rules have it differs in nothing, and what is altered is what differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import TypeAdapter

from labkit.azure.changes.route_servers import SetRouteServerSettings
from labkit.azure.model import Azure, InstanceId, PathAttributes
from labkit.azure.rules.gateway_policy import PathSource
from labkit.azure.rules.rows import effective_json
from labkit.controller.tables import Table, diff
from labkit.daemons.speaker import Advertisements
from labkit.daemons.tables import BgpNeighbour, BgpPath, BgpTable
from labkit.feed.codec import from_json
from labkit.feed.state import PlatformModel, PlatformState
from labkit.feed.status import BackendStatus, GatewaySession, PlatformStatus, RouteServerSession
from labkit.feed.tables import desired
from labkit.lab.plan.nic_tables import RT_TABLE_MAIN
from labkit.lab.plan.nodes import owners
from labkit.lab.plan.speakers import static_prefixes
from labkit.lab.sessions import router_daemons
from labkit.operate import whatif as whatifs
from labkit.operate.diff import run as diffs
from labkit.operate.diff import tables as diff_tables
from labkit.operate.diff.bgp import (
    effective_differences,
    gateway_differences,
    held_differences,
    server_differences,
)
from labkit.operate.diff.outside import site_differences
from labkit.operate.diff.tables import customer_differences, table_problem
from labkit.operate.look.client import LabClient
from labkit.operate.look.kernel import KernelHop, KernelPath
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.router_sessions import RouterSession
from labkit.operate.look.snapshot import Snapshot
from labkit.operate.verify.difference import Difference
from labkit.operate.verify.oracle import kernel_difference, kernel_differences, router_difference, router_differences
from labkit.predict.azure_speakers import AzureSpeakers
from labkit.predict.converge import CustomerRouters, converge
from labkit.predict.whatif.model import Side
from tests.unit.feed.wire import written
from tests.unit.operate.test_whatif import LAB, adj_ribs_in

AZURE, UP = SetRouteServerSettings("rs1", True).apply(LAB.azure), adj_ribs_in(LAB)
CUSTOMERS = CustomerRouters(LAB, LAB.azure)
END = converge(CUSTOMERS, AZURE, UP, {session: {} for session in CUSTOMERS.sessions})
RECEIVED, ROUTERS = END.speakers.adj_ribs_in, END.routers
SIDE = Side(AZURE, RECEIVED)
FW, SDWAN = "fw", "sdwan"


def groups(routes: Advertisements) -> list[dict[str, Any]]:
    return [{"attributes": written(a), "prefixes": [str(p)]} for p, a in routes.items()]


def of_peer(routes: Mapping[IPv4Network, Any], name: str) -> dict[IPv4Network, PathAttributes]:
    return {prefix: path.attributes for prefix, paths in routes.items() for path in paths if path.peer.name == name}


def model(speakers: AzureSpeakers) -> dict[str, Any]:
    """`GET /v1/model` of a lab that agrees with the rules."""
    servers: dict[str, Any] = {}
    for instance in speakers.at_server:
        peers = {}
        for peer in speakers.servers[instance.name].peers:
            gateway = peer.name.rpartition("-")[0]
            if gateway in AZURE.gateway:
                received: Advertisements = speakers.advertised_to_server(gateway, int(peer.name[-1]))
            else:
                received = of_peer(RECEIVED.servers[instance], peer.name)
            peers[peer.name] = {
                "received": groups(received),
                "learned": groups(of_peer(speakers.at_server[instance], peer.name)),
                "advertised": groups(speakers.advertised_by_server(instance.name, instance.index, peer)),
            }
        servers[instance.node] = peers
    return {
        "azure": TypeAdapter(Azure).dump_python(AZURE, mode="json"),
        "route_servers": servers,
        "gateways": {
            instance.node: {str(a): groups(routes) for a, routes in accepted(speakers, instance).items()}
            for instance in speakers.at_gateway
        },
        "effective": {nic: effective_json(rows) for nic, rows in SIDE.rows.items()},
        "silent": [],
    }


def accepted(speakers: AzureSpeakers, instance: InstanceId) -> dict[IPv4Address, dict[IPv4Network, PathAttributes]]:
    found: dict[IPv4Address, dict[IPv4Network, PathAttributes]] = {}
    for prefix, paths in speakers.at_gateway[instance].items():
        for path in paths:
            if path.source in (PathSource.ON_PREMISES, PathSource.ROUTE_SERVER):
                found.setdefault(path.address, {})[prefix] = path.attributes
    return found


class Healthy:
    """The live state of such a lab; tests alter what it shows."""

    lab = LAB
    azure = AZURE
    owners = owners(LAB)
    off: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.model = model(SIDE.speakers)
        self.tables = dict(self._tables())
        tables = {nic: diff(Table(), desired(rows))[0].message() for nic, rows in SIDE.rows.items()}
        sessions = tuple(
            RouteServerSession(i.name, i.index, peer.name, "Established", None, "")
            for i in SIDE.speakers.at_server
            for peer in SIDE.speakers.servers[i.name].peers
        )
        self.state = PlatformState(AZURE, (), PlatformStatus(LAB.name, sessions=sessions), {}, {}, {}, {}, tables)
        self.kernels = {
            node: [KernelPath(path.prefix, "unicast", to(path.next_hop), "bgp") for path in paths if path.best]
            for node, paths in self.tables.items()
        }
        for node, kernel in self.kernels.items():
            by_bgp = {path.prefix for path in kernel}
            static = sorted(static_prefixes(LAB, node) - by_bgp)
            kernel += [KernelPath(prefix, "unicast", to(IPv4Address("10.1.10.1")), "static") for prefix in static]
        self.kernels |= {"vm1": [KernelPath(IPv4Network("10.1.10.0/24"), "unicast", (), "kernel"), *self._right("vm1")]}

    def is_by_bgp(self, router: str, prefix: str, protocol: str) -> bool:  # noqa: ARG002 - as with FRR
        return protocol == "bgp"

    def bgp(self, node: str) -> BgpTable:
        sessions = CUSTOMERS.routers[node].by_address if node in CUSTOMERS.routers else {}
        neighbours = {a: BgpNeighbour(a, 0, "Established", 0.0, 0, 0, 0) for a in sessions}
        return BgpTable(neighbours, tuple(self.tables[node]))

    def has_bgp(self, node: str) -> bool:
        return node not in self.off

    def kernel(self, node: str, table: int = RT_TABLE_MAIN) -> tuple[KernelPath, ...]:
        assert table == RT_TABLE_MAIN
        return tuple(self.kernels[node])

    @property
    def snapshot(self) -> Snapshot:
        return Snapshot(LAB, from_json(PlatformModel, self.model), RECEIVED.circuits)

    def _tables(self) -> Iterator[tuple[str, list[BgpPath]]]:
        speakers = SIDE.speakers
        for name, adj_rib_in in ROUTERS.adj_rib_in.items():
            best = ROUTERS.loc_rib[name]
            yield (
                name,
                [
                    shown(
                        prefix,
                        session.neighbour.address,
                        attributes,
                        best=session in best[prefix].sessions,
                    )
                    for session, table in adj_rib_in.items()
                    for prefix, attributes in table.items()
                ],
            )
        for instance in speakers.at_gateway:
            yield (
                instance.node,
                [
                    shown(prefix, address, attributes)
                    for address, routes in accepted(speakers, instance).items()
                    for prefix, attributes in routes.items()
                ],
            )
        paths = speakers.at_edge["circuit1"]
        yield "circuit1", [shown(prefix, path.address, path.attributes) for prefix in paths for path in paths[prefix]]

    def _right(self, vm: str) -> Iterator[KernelPath]:
        for row in SIDE.rows[vm]:
            hops = tuple(sorted(row.next_hops))
            if row.next_hop_type in {"Internet", "None"}:
                hops = (IPv4Address("10.1.10.1"),)
            if row.state == "Active":
                yield KernelPath(row.prefix, "unicast", to(*hops), "65")


def to(*next_hops: IPv4Address) -> tuple[KernelHop, ...]:
    return tuple(KernelHop("eth0", hop) for hop in next_hops)


def shown(prefix: IPv4Network, neighbour: IPv4Address, attributes: PathAttributes, *, best: bool = False) -> BgpPath:
    # FRR shows a MED of 0 where there is none.
    attributes = replace(attributes, med=attributes.med or 0)
    return BgpPath(prefix, neighbour, attributes, best)


def live(healthy: Healthy) -> LiveState:
    return cast(LiveState, healthy)


def differences(healthy: Healthy) -> set[tuple[str, str, str, str]]:
    snapshot, seen = healthy.snapshot, live(healthy)
    found = [
        *server_differences(snapshot, seen),
        *held_differences(snapshot, seen),
        *gateway_differences(snapshot, seen),
        *effective_differences(snapshot),
        *site_differences(snapshot, seen),
        *(found for router in router_daemons(seen.lab) for found in router_differences(router, seen)),
        *kernel_differences("vm1", seen),
    ]
    assert len(found) == len(set(found))
    return {(d.where, d.prefix, d.model, d.there) for d in found}


def test_a_healthy_lab_has_routes_everywhere_and_no_difference() -> None:
    healthy = Healthy()
    assert all(
        groups for peers in healthy.model["route_servers"].values() for p in peers.values() for groups in p.values()
    )
    assert all(healthy.tables.values())
    assert differences(healthy) == set()


BRANCH, ONPREM = "10.250.0.0/16", "10.2.0.0/16"
AT_SITE = ("0.0.0.0/0", "10.1.0.0/16", "10.3.0.0/16", BRANCH)
"""What the circuit advertises to onprem2."""


def drop(routes: list[dict[str, Any]], prefix: str) -> None:
    before = len(routes)
    routes[:] = [group for group in routes if group["prefixes"] != [prefix]]
    assert len(routes) == before - 1


def forget(healthy: Healthy, node: str, prefix: str, neighbour: str) -> None:
    paths = healthy.tables[node]
    before = len(paths)
    paths[:] = [p for p in paths if (str(p.prefix), str(p.neighbour)) != (prefix, neighbour)]
    assert len(paths) == before - 1


SDWAN_TO_FW = "via 10.1.0.4 path 65515-65001-65010 igp 65517:65517"


@pytest.mark.parametrize(
    ("alter", "wanted"),
    [
        (
            # The instance no longer advertises what the rules have, and the appliance still has it.
            lambda lab: drop(lab.model["route_servers"]["rs1-0"][FW]["advertised"], BRANCH),
            {("rs1-0, advertised to fw", BRANCH, SDWAN_TO_FW, "-"), ("fw, from rs1-0", BRANCH, "-", SDWAN_TO_FW)},
        ),
        (
            lambda lab: forget(lab, FW, BRANCH, "10.1.0.4"),
            {("fw, from rs1-0", BRANCH, SDWAN_TO_FW, "-")},
        ),
        (
            lambda lab: drop(lab.model["route_servers"]["rs1-1"]["ergw-0"]["received"], ONPREM),
            {
                ("rs1-1, learned from ergw-0", ONPREM, "-", "via 10.1.255.6 path 12076-65020 igp"),
                ("rs1-1, received from ergw-0", ONPREM, "via 10.1.255.6 path 12076-65020 igp", "-"),
            },
        ),
        (
            lambda lab: forget(lab, "circuit1", "10.1.0.0/16", "10.1.255.4"),
            {("circuit1, from ergw-0", "10.1.0.0/16", "via 10.1.255.4 path 65515 igp", "-")},
        ),
        (
            lambda lab: forget(lab, "onprem2", "10.1.0.0/16", "100.64.0.6"),
            {
                ("onprem2, from circuit1", "10.1.0.0/16", "via 100.64.0.6 path 12076 igp", "-"),
                ("kernel of onprem2", "10.1.0.0/16", "-", "a route by BGP"),
            },
        ),
        (
            lambda lab: lab.kernels["onprem2"].clear(),
            {
                ("kernel of onprem2", prefix, "a route by BGP", "-")
                for prefix in ("0.0.0.0/0", "10.1.0.0/16", "10.3.0.0/16", BRANCH)
            },
        ),
        (
            lambda lab: lab.kernels["vm1"].append(
                KernelPath(IPv4Network("192.0.2.0/24"), "unicast", to(IPv4Address("10.1.1.4")), "static")
            ),
            {("kernel of vm1", "192.0.2.0/24", "-", "via 10.1.1.4")},
        ),
        (
            lambda lab: lab.model["effective"]["vm3"]["value"].pop(0),
            {("effective routes of vm3", "10.3.0.0/16", "Active Default VnetLocal", "-")},
        ),
    ],
)
def test_what_is_altered_is_what_differs(
    alter: Callable[[Healthy], object], wanted: set[tuple[str, str, str, str]]
) -> None:
    healthy = Healthy()
    alter(healthy)
    assert differences(healthy) == wanted


def test_verify_prints_the_first_difference_of_a_kernel() -> None:
    healthy = Healthy()
    assert kernel_difference("vm1", live(healthy)) is None
    healthy.kernels["vm1"] = []
    found = kernel_difference("vm1", live(healthy))
    there = "0.0.0.0/0 is nothing in the kernel of vm1"
    assert found == f"{there}; expected: via 10.1.1.5. Look: labkit routes vm1"


def test_a_router_whose_kernel_lacks_a_static_route_is_found() -> None:
    healthy = Healthy()
    node, prefix = next((node, prefix) for node in healthy.lab.nva for prefix in sorted(static_prefixes(LAB, node)))
    assert router_difference(node, live(healthy)) is None
    healthy.kernels[node] = [path for path in healthy.kernels[node] if path.prefix != prefix]
    missing = f"{prefix} is a static route and missing from the kernel of {node}. Look: labkit routes {node}"
    assert router_difference(node, live(healthy)) == missing


def test_what_a_second_look_does_not_show_was_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    stays, goes = (Difference("kernel of vm1", prefix, "-", "on-link", "") for prefix in (BRANCH, ONPREM))
    looks = iter([[goes, stays, stays], [stays]])
    monkeypatch.setattr(diffs, "_once", lambda _look: iter(next(looks)))
    client = cast(LabClient, SimpleNamespace())
    assert diffs.differences(LAB, client) == [stays]
    looks = iter([[]])
    assert diffs.differences(LAB, client) == []


def test_every_part_of_a_lab_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for what is off."""
    healthy = Healthy()
    healthy.off = others = frozenset(vm.name for vm in LAB.virtual_machines) - {"vm1"}
    monkeypatch.setattr(diffs, "LiveState", lambda *_: live(healthy))
    monkeypatch.setattr(diffs, "read", lambda _look: healthy.snapshot)
    monkeypatch.setattr(diffs, "changes_by_hand", lambda *_: [Difference("configuration of fw", "", "", "", "")])
    monkeypatch.setattr(diffs, "fabric_differences", lambda vnet, _: [Difference(f"fabric of {vnet}", "", "", "", "")])
    client = cast(LabClient, SimpleNamespace())
    fabrics = ["configuration of fw", *(f"fabric of {vnet.name}" for vnet in AZURE.virtual_networks)]
    assert [d.where for d in diffs.differences(LAB, client)] == fabrics
    drop(healthy.model["route_servers"]["rs1-0"][FW]["advertised"], BRANCH)
    forget(healthy, "circuit1", "10.1.0.0/16", "10.1.255.4")
    healthy.model["effective"]["vm3"]["value"].pop(0)
    healthy.kernels["vm1"].pop()
    assert [d.where for d in diffs.differences(LAB, client)] == [
        "rs1-0, advertised to fw",
        "fw, from rs1-0",
        "circuit1, from ergw-0",
        "effective routes of vm3",
        *fabrics,
        "kernel of vm1",
    ]
    healthy.off = others | frozenset({FW, "circuit1", "vm1", *(vnet.name for vnet in AZURE.virtual_networks)})
    assert [d.where for d in diffs.differences(LAB, client)] == [
        "rs1-0, advertised to fw",
        "effective routes of vm3",
        "configuration of fw",
    ]


def test_what_whatif_warns_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions and backends that are down, labs that are not at rest, and limits."""
    healthy = Healthy()
    address = IPv4Address("10.1.0.9")
    status = PlatformStatus(
        LAB.name,
        sessions=(
            RouteServerSession("rs1", 0, FW, "Idle", None, ""),
            RouteServerSession("rs1", 1, FW, "Established", None, ""),
        ),
        gateways=(GatewaySession("ergw", 1, "circuit1", "Active", None, ""),),
        backends=(
            BackendStatus("lb", address, SDWAN, address, "Down", "refused"),
            BackendStatus("lb", address, FW, address, "Up", ""),
        ),
    )
    client = cast(LabClient, SimpleNamespace(fetch=lambda *_: status))
    monkeypatch.setattr(whatifs, "LiveState", lambda *_: live(healthy))
    monkeypatch.setattr(whatifs, "read", lambda _look: healthy.snapshot)
    between = [RouterSession(SDWAN, far, state, None, "") for far, state in (("a", "Connect"), ("b", "Established"))]
    monkeypatch.setattr(whatifs, "router_sessions", lambda *_: between)
    changes = (SetRouteServerSettings("rs1", False),)
    found = whatifs.whatif(LAB, client, changes)
    assert found.unsettled == ()
    assert [warning.partition(":")[0] for warning in found.warnings[:4]] == [
        "the session of rs1-0 with fw is down (Idle)",
        "the session of ergw-1 with circuit1 is down (Active)",
        "the session of sdwan with a is down (Connect)",
        "lb has not found sdwan up; it is predicted as up.",
    ]
    assert not any("end the session" in warning for warning in found.warnings)
    healthy.model["effective"]["vm3"]["value"].pop(0)
    monkeypatch.setattr(whatifs, "circuit_drops_gateway", lambda count: count > 0)
    found = whatifs.whatif(LAB, client, changes)
    assert found.unsettled == ("vm3 10.3.0.0/16",)
    assert any(w.startswith("ergw-0 would advertise ") and "end the session" in w for w in found.warnings)


def test_what_a_customer_has_not_advertised_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """`diff` takes what NVAs and sites advertise as it is; a lab that boots is to have what their files configure."""
    healthy = Healthy()
    monkeypatch.setattr(diff_tables, "read", lambda _: healthy.snapshot)
    assert table_problem(live(healthy)) is None
    (from_site,) = (s for s in CUSTOMERS.routers[SDWAN].sessions if s.neighbour.name == "onprem1")
    forget(healthy, SDWAN, BRANCH, str(from_site.neighbour.address))
    found = list(customer_differences(healthy.snapshot, live(healthy)))
    assert {(d.where, d.prefix) for d in found if d.there == "-"} == {("sdwan, from onprem1", BRANCH)}
    assert {(d.where, d.prefix) for d in found if d.model == "-"} == {(f"rs1-{i}, from sdwan", BRANCH) for i in (0, 1)}
    assert table_problem(live(healthy)) == (
        f"rs1-0, from sdwan: {BRANCH} is via 10.1.1.4 path 65001-65010 igp; expected: -; "
        f"rs1-1, from sdwan: {BRANCH} is via 10.1.1.4 path 65001-65010 igp; expected: -; "
        f"sdwan, from onprem1: {BRANCH} is -; expected: via {from_site.neighbour.address} path 65010 igp. "
        "Look: labkit diff"
    )
