import itertools
from dataclasses import replace

import pytest

from labkit.azure.model import AsPath, Origin, PathAttributes
from labkit.azure.rules.acceptance import RejectionReason
from labkit.azure.rules.circuits import (
    CircuitPath,
    advertised_to_customer,
    advertised_to_gateway,
    best_in_circuit,
    circuit_rejection,
)
from labkit.azure.rules.communities import NO_ADVERTISE, NO_EXPORT, RELAYED

from .builders import addr, er_gateway

EDGE = addr("172.30.0.1")
ER1, ER2 = er_gateway("er1", "hub1", "10.1.9.12"), er_gateway("er2", "hub2", "10.2.9.12")


def heard(gateway: str | None, *as_path: int | frozenset[int], address: str = "10.1.9.12") -> CircuitPath:
    attributes = PathAttributes(addr(address), as_path, Origin.INCOMPLETE, 9, (RELAYED,))
    return CircuitPath(gateway, addr(address), attributes)


@pytest.mark.parametrize(
    ("path", "dropped"),
    [
        (heard("er1", 65515), False),
        (heard("er1", 65515, 65001, 65001, 65002, 65002, 12076, 65021), True),  # FAB-E: the other circuit's prefix
        (heard("er1", 65515, frozenset({12076, 65001})), True),
        (heard(None, 65020, 12076), False),  # allowas-in (WIKI)
    ],
)
def test_rejection(path: CircuitPath, dropped: bool) -> None:
    found = circuit_rejection(path)
    assert (found is not None) is dropped
    if found is not None:
        assert found.reason is RejectionReason.LOOP


def test_the_shorter_path_wins_between_gateways() -> None:
    # [msee-prepends]
    short, long = heard("er2", 65515, 65010), heard("er1", 65515, 65010, 65010, 65010)
    assert best_in_circuit([long, short]) == (short,)
    assert best_in_circuit(()) == ()


def test_of_paths_of_one_length_the_better_origin_wins() -> None:
    # RFC 4271 §9.1.2.2 (b), after the length (a).
    worse, long = heard("er1", 65515, 65010), heard("er1", 65515, 65010, 65010)
    better = replace(worse, gateway="er2", attributes=replace(worse.attributes, origin=Origin.EGP))
    best = replace(worse, gateway=None, attributes=replace(worse.attributes, origin=Origin.IGP))
    assert best_in_circuit([worse, better]) == (better,)
    assert best_in_circuit([better, best, worse]) == (best,)
    assert best_in_circuit([replace(long, attributes=replace(long.attributes, origin=Origin.IGP)), worse]) == (worse,)


def test_equal_paths_all_carry_packets_the_lowest_address_first() -> None:
    paths = [heard("er1", 65515, address=a) for a in ("10.1.9.13", "10.1.9.12", "10.1.9.112")]
    for order in itertools.permutations(paths):
        assert [str(p.address) for p in best_in_circuit(order)] == ["10.1.9.12", "10.1.9.13", "10.1.9.112"]


@pytest.mark.parametrize(
    ("as_path", "seen"),
    [
        ((65515,), (12076,)),  # FAB-E
        ((65515, 65001, 65001, 65001), (12076,)),  # [msee-prepends]
        ((65515, 65001, 3320, 65002), (12076, 3320)),
        ((65515, frozenset({65001, 3320}), frozenset({65001})), (12076, frozenset({3320}))),
        ((65515, 4200000000), (12076,)),
        ((65515, 65001, 65020), (12076,)),  # to whomever it is advertised, 65020 too
    ],
)
def test_customers_see_no_private_asn(as_path: AsPath, seen: AsPath) -> None:
    # [msee-strips-private]; ORIGIN and communities stay [origin-kept, relay-community-to-sites].
    assert advertised_to_customer(heard("er1", *as_path), EDGE) == PathAttributes(
        EDGE, seen, Origin.INCOMPLETE, None, (RELAYED,)
    )


def test_a_customers_own_routes_do_not_go_back() -> None:
    assert advertised_to_customer(heard(None, 65020), EDGE) is None


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        (heard(None, 65020), (12076, 65020)),
        (heard(None, 65020, 12076), (12076, 65020, 12076)),
        (heard("er1", 65515), (12076, 12076)),  # as-override (WIKI)
        (heard("er1", 65515, 65001), (12076, 12076, 65001)),
        (heard(None, 65020, frozenset({65515, 65021})), (12076, 65020, frozenset({12076, 65021}))),
        (heard("er2", 65515), None),  # not back to the gateway that sent it
    ],
)
def test_what_gateways_get(path: CircuitPath, seen: AsPath | None) -> None:
    got = advertised_to_gateway(ER2, path, EDGE)
    expected = None if seen is None else PathAttributes(EDGE, seen, Origin.INCOMPLETE, None, (RELAYED,))
    assert got == expected


@pytest.mark.parametrize("community", [NO_ADVERTISE, NO_EXPORT])
def test_well_known_communities(community: tuple[int, int]) -> None:
    path = CircuitPath("er1", addr("10.1.9.12"), PathAttributes(addr("10.1.9.12"), (65515,), communities=(community,)))
    assert advertised_to_customer(path, EDGE) is None
    assert advertised_to_gateway(ER2, path, EDGE) is None
