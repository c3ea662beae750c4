"""Where Azure ends: what edge routers and gateways advertise on-premises, prefer, and do beyond their limits."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network

import pytest

from labkit.azure.changes.gateways import CreateConnection, DeleteConnection
from labkit.azure.changes.route_servers import SetRouteServerSettings
from labkit.azure.model import AsPath, Origin
from labkit.azure.rules.asn import MICROSOFT_ASN
from labkit.azure.rules.circuits import CircuitPath, advertised_to_customer, best_in_circuit
from labkit.azure.rules.limits import CUSTOMER_TO_CIRCUIT_ROUTES, GATEWAY_TO_CIRCUIT_ROUTES, VPN_GATEWAY_ROUTES
from labkit.daemons.tables import ESTABLISHED
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.probes import ping
from labkit.pytest import Boot, RunningLab
from tests.e2e.chaos.watch import watching
from tests.e2e.in_lab import configure, gateways, lab_file, nothing_differs, problems, reaches, run
from tests.e2e.waiting import eventually
from tests.extent import LONG

HUB, DC, BRANCH, OFFICE = map(IPv4Network, ("10.1.0.0/16", "10.2.0.0/16", "10.250.0.0/16", "10.200.0.0/16"))
DC_HOST, BRANCH_HOST, OFFICE_HOST = map(IPv4Address, ("10.2.0.10", "10.250.0.10", "10.200.0.10"))
NVA_WAN, EDGE = IPv4Address("100.64.0.1"), IPv4Address("100.64.0.6")
"""Where sites find their neighbours: the branch the appliance, the data centre the circuit."""
ERGW = IPv4Address("10.1.255.4"), IPv4Address("10.1.255.5")
PRIVATE = 64512, 65002, 65534, 65535, 4200000000, 4294967294
PUBLIC = 64511, 3320, 12077, 65536, 4199999999
RETRIED, BACK = 60.0, 120.0
"""Seconds after which a session that a limit ended is tried again, and within which it is there again."""
MAXIMUM = "maximum number of prefixes reached"


@pytest.fixture(scope="module")
def lab(labkit_lab: Boot) -> RunningLab:
    return labkit_lab(lab_file("edges"))


@pytest.fixture(autouse=True)
def _whole_again(lab: RunningLab) -> Iterator[None]:
    """Whoever changes the lab leaves it as it was, and that is checked."""
    yield
    assert problems(lab, BACK) == []


@contextmanager
def announcing(lab: RunningLab, node: str, *prefixes: IPv4Network) -> Iterator[None]:
    """A router announces these prefixes too."""
    router = lab.lab.nva.get(node) or lab.lab.site_router[node]

    def say(words: str) -> None:
        lines = ["configure terminal", f"router bgp {router.asn}", "address-family ipv4 unicast"]
        run(lab, node, "vtysh", stdin="\n".join([*lines, *(f"{words} {prefix}" for prefix in prefixes), ""]))

    say("network")
    try:
        yield
    finally:
        say("no network")


@contextmanager
def saying(lab: RunningLab, site: str, neighbour: IPv4Address, prefix: IPv4Network, *words: str) -> Iterator[None]:
    """A site advertises a prefix to a neighbour, with what these lines of a route map set."""
    router = (f"router bgp {lab.lab.site_router[site].asn}", "address-family ipv4 unicast")
    configure(
        lab,
        site,
        *(f"ip prefix-list odd permit {prefix}", "route-map odd permit 10", "match ip address prefix-list odd"),
        *(f"set {each}" for each in words),
        *("exit", "route-map odd permit 20", "exit", *router, f"neighbor {neighbour} route-map odd out"),
    )
    try:
        with announcing(lab, site, prefix):
            yield
    finally:
        ends = ("exit", "exit", "no route-map odd", "no ip prefix-list odd")
        configure(lab, site, *router, f"no neighbor {neighbour} route-map odd out", *ends)


def some(count: int) -> list[IPv4Network]:
    """So many prefixes that nobody has."""
    return list(itertools.islice(IPv4Network("10.64.0.0/11").subnets(new_prefix=24), count))


def held(lab: RunningLab) -> dict[IPv4Network, list[CircuitPath]]:
    """What the circuit's edge router holds, in the form that the rules want."""
    names = dict.fromkeys(ERGW, "ergw")
    found: dict[IPv4Network, list[CircuitPath]] = {}
    for path in LiveState(lab.lab, lab.client).bgp("circuit1").paths:
        held_path = CircuitPath(names.get(path.neighbour), path.neighbour, path.attributes)
        found.setdefault(path.prefix, []).append(held_path)
    return found


def told(lab: RunningLab) -> dict[IPv4Network, AsPath]:
    """What the edge router advertises to its customer by the rules, given what it has."""
    best = {prefix: best_in_circuit(paths)[0] for prefix, paths in held(lab).items()}
    by_rule = {prefix: advertised_to_customer(path, EDGE) for prefix, path in best.items()}
    return {prefix: attributes.as_path for prefix, attributes in by_rule.items() if attributes is not None}


def heard(lab: RunningLab) -> dict[IPv4Network, AsPath]:
    """What the customer's router has of it."""
    return {p.prefix: p.as_path for p in LiveState(lab.lab, lab.client).bgp("dc").paths if p.neighbour == EDGE}


def sessions(lab: RunningLab, gateway: str, neighbour: str) -> set[tuple[str, str]]:
    """The states of the sessions of a gateway's instances with a neighbour, each with its reason."""
    rows = [s for s in lab.client.get("status")["gateways"] if (s["gateway"], s["neighbour"]) == (gateway, neighbour)]
    return {(row["state"], row["reason"] or "") for row in rows}


def retries(lab: RunningLab, node: str) -> list[float]:
    """The seconds in which a daemon will try again the sessions that a limit has ended."""
    shown = json.loads(run(lab, node, "vtysh", "-c", "show bgp neighbors json"))
    return [each["restartInTimerMsec"] / 1000 for each in shown.values() if "restartInTimerMsec" in each]


def test_a_customer_sees_no_private_asn_its_own_included(lab: RunningLab) -> None:
    """Two sites share an ASN, and meet through a circuit; what is public stays (RFC 6996) [msee-strips-private]."""
    odd, path = IPv4Network("10.251.0.0/16"), " ".join(map(str, (*PRIVATE, *PUBLIC)))
    assert heard(lab) == told(lab) == dict.fromkeys((HUB, BRANCH, OFFICE), (12076,))
    reaches(lab.client, "dc-host", OFFICE_HOST)
    with saying(lab, "branch", NVA_WAN, odd, f"as-path prepend {path}"):
        eventually(lambda: heard(lab).get(odd), lambda found: found == (12076, *PUBLIC))
        assert {p.attributes.as_path for p in held(lab)[odd]} == {(65515, 65001, 65020, *PRIVATE, *PUBLIC)}
        assert heard(lab) == told(lab)


@pytest.mark.parametrize("origin", Origin)
def test_a_gateway_and_a_customer_say_the_same(lab: RunningLab, origin: Origin) -> None:
    """Paths of one length: the better ORIGIN wins (the branch has IGP), and equal ones share the packets."""

    def ways() -> set[IPv4Address]:
        return set(gateways(lab, "circuit1", BRANCH) or ())

    with saying(lab, "dc", EDGE, BRANCH, "as-path prepend 65020 65020", f"origin {origin}"):
        eventually(lambda: len(held(lab)[BRANCH]), lambda paths: paths == 3)
        paths = held(lab)[BRANCH]
        assert {(len(p.attributes.as_path), p.attributes.origin) for p in paths} == {(3, Origin.IGP), (3, origin)}
        best = best_in_circuit(paths)
        assert len(best) == (3 if origin is Origin.IGP else 2)
        eventually(ways, lambda found: found == {p.address for p in best})
        assert heard(lab) == told(lab)
    eventually(ways, lambda found: found == set(ERGW))


def test_a_circuit_takes_its_own_asn_from_a_customer(lab: RunningLab) -> None:
    odd = IPv4Network("10.251.0.0/16")
    with saying(lab, "dc", EDGE, odd, f"as-path prepend {MICROSOFT_ASN}"):
        paths = eventually(lambda: held(lab).get(odd, []), bool)
        assert {p.attributes.as_path for p in paths} == {(65020, MICROSOFT_ASN)}
        eventually(lambda: gateways(lab, "vm1", odd), bool)
    eventually(lambda: gateways(lab, "vm1", odd), lambda found: found is None)


def test_a_circuit_takes_a_thousand_prefixes_of_a_gateway_and_no_more(lab: RunningLab) -> None:
    """Virtual networks' and the route server's together: beyond them both sessions end [gateway-to-circuit-limit]."""
    *fill, last = some(GATEWAY_TO_CIRCUIT_ROUTES + 1 - len(told(lab)))

    def counts() -> dict[IPv4Address, int]:
        paths = [path for paths in held(lab).values() for path in paths if path.gateway]
        return {address: sum(p.address == address for p in paths) for address in ERGW}

    with announcing(lab, "nva1", *fill):
        eventually(counts, lambda found: found == dict.fromkeys(ERGW, GATEWAY_TO_CIRCUIT_ROUTES))
        assert sessions(lab, "ergw", "circuit1") == {(ESTABLISHED, "")}
        reaches(lab.client, "vm1", DC_HOST)

        with announcing(lab, "branch", last):
            over = {("Idle", f"{MAXIMUM} (received from the peer)")}
            eventually(lambda: sessions(lab, "ergw", "circuit1"), lambda found: found == over)
            rows = lab.client.get("gateways", "ergw", "bgp-peers")["value"]
            assert {row["state"] for row in rows if row["asn"] == MICROSOFT_ASN} <= {"Idle", "Connecting"}
            eventually(lambda: gateways(lab, "vm1", DC), lambda found: found is None)
            eventually(lambda: heard(lab), lambda found: found == {})
            assert not ping(lab.client, "vm1", DC_HOST)
            # Nobody else minds.
            assert sessions(lab, "ergw", "rs1-0") == sessions(lab, "vpngw", "office") == {(ESTABLISHED, "")}
            reaches(lab.client, "vm1", BRANCH_HOST)
            reaches(lab.client, "vm1", OFFICE_HOST)
        instances = ("ergw-0", "ergw-1")
        eventually(lambda: {gateways(lab, instance, last) for instance in instances}, lambda found: found == {None})
        # By itself it would be there within a minute, as those of the next test are.
        run(lab, "circuit1", "vtysh", "-c", "clear bgp *")
        eventually(lambda: sessions(lab, "ergw", "circuit1"), lambda found: found == {(ESTABLISHED, "")})
        eventually(lambda: ping(lab.client, "vm1", DC_HOST), bool)


def test_a_circuit_s_connection_is_deleted_and_created(lab: RunningLab) -> None:
    """The circuit and its customer's session go on without a gateway.

    A machine goes by the edges' addresses until the end, never by what the gateway has in their place.
    """
    with watching(lab, "vm1") as watch:
        before = watch.fib.hops(DC_HOST)
        lab.client.change(DeleteConnection("ergw-circuit1"))
        eventually(lambda: gateways(lab, "vm1", DC), lambda hops: hops is None)
        assert watch.since([DC_HOST]) == {DC_HOST: before | watch.fib.hops(DC_HOST)}
        assert watch.missed() == []
    eventually(lambda: gateways(lab, "dc", HUB), lambda hops: hops is None)
    assert not ping(lab.client, "vm1", DC_HOST)
    nothing_differs(lab)
    lab.client.change(CreateConnection("ergw-circuit1", "ergw", "circuit1"))
    eventually(lambda: ping(lab.client, "vm1", DC_HOST), bool)


def test_sites_beyond_the_limit_of_a_circuit_and_a_vpn_gateway(lab: RunningLab) -> None:
    """4000 prefixes are fine, 4001 end the session; with fewer of them it comes back [customer-to-circuit-limit].

    The daemons try it again by themselves: the long suite waits for that, the short one sees that it is due.
    """

    def circuits() -> str:
        return LiveState(lab.lab, lab.client).bgp("dc").states[EDGE]

    def up() -> bool:
        return circuits() == ESTABLISHED and sessions(lab, "vpngw", "office") == {(ESTABLISHED, "")}

    def kept() -> tuple[int, set[int]]:
        rows = lab.client.get("gateways", "vpngw", "bgp-peers")["value"]
        of_office = [row["routesReceived"] for row in rows if row["asn"] == lab.lab.site_router["office"].asn]
        return sum(p.gateway is None for paths in held(lab).values() for p in paths), set(of_office)

    *fill, last = some(CUSTOMER_TO_CIRCUIT_ROUTES)
    assert CUSTOMER_TO_CIRCUIT_ROUTES == VPN_GATEWAY_ROUTES
    lab.client.change(SetRouteServerSettings("rs1", False))
    try:
        with announcing(lab, "dc", *fill), announcing(lab, "office", *fill):
            eventually(kept, lambda found: found == (CUSTOMER_TO_CIRCUIT_ROUTES, {VPN_GATEWAY_ROUTES}))
            assert up()
            with announcing(lab, "dc", last), announcing(lab, "office", last):
                eventually(lambda: sessions(lab, "vpngw", "office"), lambda found: found == {("Idle", MAXIMUM)})
                eventually(circuits, lambda state: state != ESTABLISHED)
                eventually(lambda: gateways(lab, "vm1", DC), lambda found: found is None)
        if not LONG:
            for node in ("circuit1", "vpngw-0", "vpngw-1"):
                assert [0 < seconds <= RETRIED for seconds in retries(lab, node)] == [True], node
                run(lab, node, "vtysh", "-c", "clear bgp *")
        eventually(up, bool, BACK)
    finally:
        lab.client.change(SetRouteServerSettings("rs1", True))
