from hypothesis import given
from hypothesis import strategies as st

from labkit.agent.feed_table import FeedTable, Hop, prefix_bytes
from labkit.agent.kernel_routes import (
    RT_SCOPE_LINK,
    RTN_UNICAST,
    Ids,
    KernelState,
    Member,
    Share,
    Target,
    Uplink,
    adopt,
    extend,
    route_changes,
    sendable,
    wanted,
)
from labkit.azure.model import ON_LINK, NextHopType

UPLINK = Uplink("eth0", 3, (prefix_bytes("10.1.10.0/24"),))
A, B, C = (bytes([10, 1, 1, n]) for n in (4, 5, 6))
P = [prefix_bytes(f"10.{n}.0.0/16") for n in range(8)]
GATEWAY = Target(RTN_UNICAST, gateway=bytes([10, 1, 10, 1]), interface=3)


def via(*hops: bytes) -> Hop:
    return Hop(NextHopType.VIRTUAL_APPLIANCE, hops)


def group(*members: int) -> tuple[Member, ...]:
    return tuple(map(Member, members))


def test_mapping_of_every_type() -> None:
    kinds = [*sorted(ON_LINK), NextHopType.INTERNET, NextHopType.NONE]
    table = FeedTable({**{n: Hop(kind) for n, kind in enumerate(kinds)}, 9: via(A, B)}, {})
    want = wanted(table, Ids({A: 1, B: 2}, {9: 5}), UPLINK, (), ())
    on_link = Target(RTN_UNICAST, RT_SCOPE_LINK, interface=3)
    assert [want.targets[n] for n in range(3)] == [on_link] * 3
    assert want.targets[3] == want.targets[4] == GATEWAY, "the fabric drops what leads to None"
    assert want.targets[9] == Target(RTN_UNICAST, group=5)
    assert want.groups == {5: group(1, 2)}
    assert want.hops == {1: A, 2: B}


def test_a_next_hop_that_is_the_machine_itself_is_sent_via_the_gateway() -> None:
    table = FeedTable({1: via(A), 2: via(A, B), 3: via(B, C), 4: Hop(NextHopType.NONE)}, {P[0]: 1})
    found = sendable(table, UPLINK._replace(own=(A, C)))
    gateway = GATEWAY.gateway
    assert found.groups == {1: via(gateway), 2: via(gateway, B), 3: via(B, gateway), 4: Hop(NextHopType.NONE)}
    assert found.routes is table.routes
    assert sendable(table, UPLINK) == table


def test_refused_next_hops_leave_their_groups_and_empty_groups_their_prefixes() -> None:
    table = FeedTable({1: via(A), 2: via(A, B), 3: via(C)}, {})
    want = wanted(table, Ids({A: 1, B: 2, C: 3}, {1: 11, 2: 12, 3: 13}), UPLINK, {A}, {3})
    assert want.targets == {1: None, 2: Target(RTN_UNICAST, group=12), 3: None}
    assert want.groups == {12: group(2)}
    assert want.hops == {2: B, 3: C}


def test_adoption_goes_by_the_routes_not_by_the_feeds_numbers() -> None:
    kernel = KernelState(
        hops={1: A, 2: B},
        groups={3: group(1), 4: group(2)},
        routes={P[0]: Target(RTN_UNICAST, group=3), P[1]: Target(RTN_UNICAST, group=4)},
    )
    ids = adopt(FeedTable({3: via(B), 4: via(A)}, {P[0]: 4, P[1]: 3}), kernel)
    assert ids == Ids({A: 1, B: 2}, {3: 4, 4: 3})


def test_adoption_of_two_groups_that_lead_to_the_same_place() -> None:
    kernel = KernelState(
        hops={1: A},
        groups={3: group(1), 4: group(1)},
        routes={P[0]: Target(RTN_UNICAST, group=3), P[1]: Target(RTN_UNICAST, group=4)},
    )
    ids = adopt(FeedTable({7: via(A), 8: via(A)}, {P[1]: 7, P[0]: 8}), kernel)
    assert ids.groups == {7: 4, 8: 3}


def test_a_group_is_rewritten_if_nobody_else_needs_it() -> None:
    kernel = KernelState(hops={1: A}, groups={3: group(1)}, routes={p: Target(RTN_UNICAST, group=3) for p in P[:3]})
    alone = adopt(FeedTable({1: via(B)}, dict.fromkeys(P[:2], 1)), kernel)
    assert alone.groups == {1: 3}
    shared = adopt(FeedTable({1: via(B), 2: via(C)}, {P[0]: 1, P[1]: 2}), kernel)
    assert set(shared.groups.values()).isdisjoint({3})


def test_ids_of_others_are_not_used() -> None:
    kernel = KernelState(hops={1: A}, stray_nexthops=[2], foreign_nexthops={3, 5})
    ids = adopt(FeedTable({1: via(A, B)}, {P[0]: 1}), kernel)
    assert ids == Ids({A: 1, B: 4}, {1: 6})


def test_extension_keeps_drops_and_adds() -> None:
    ids = extend(
        Ids({A: 1, B: 2}, {1: 3, 2: 4}), FeedTable({2: via(B), 5: via(C), 6: Hop(NextHopType.NONE)}, {}), {1, 2, 3, 4}
    )
    assert ids == Ids({B: 2, C: 5}, {2: 4, 5: 6})


TARGETS = st.sampled_from([GATEWAY, Target(RTN_UNICAST, group=1), Target(RTN_UNICAST, group=2)])


@given(
    st.dictionaries(st.sampled_from(P), st.one_of(st.none(), TARGETS)),
    st.dictionaries(st.sampled_from(P), st.integers(0, 3)),
    st.sets(st.sampled_from(P)),
)
def test_route_changes_lead_to_what_is_wanted(
    current: dict[bytes, Target | None], routes: dict[bytes, int], left_out: set[bytes]
) -> None:
    targets = {0: None, 1: GATEWAY, 2: Target(RTN_UNICAST, group=1), 3: Target(RTN_UNICAST, group=2)}
    changes = route_changes(current, routes, targets, left_out.__contains__)
    state = {prefix: target for prefix, target in current.items() if target is not None}
    for target, prefixes in changes.added.items():
        assert state.keys().isdisjoint(prefixes)
        state |= dict.fromkeys(prefixes, target)
    for (old, new), prefixes in changes.changed.items():
        assert old != new
        assert all(state[prefix] == old for prefix in prefixes)
        state |= dict.fromkeys(prefixes, new)
    for target, prefixes in changes.removed.items():
        for prefix in prefixes:
            assert state.pop(prefix) == target
    assert state == {p: t for p, g in routes.items() if (t := targets[g]) is not None and p not in left_out}


def test_a_further_share_has_nexthops_of_its_own_range_and_no_connected_route_in_its_table() -> None:
    share = Share(2, 3)
    table = FeedTable({1: via(A)}, {P[0]: 1})
    assert adopt(table, KernelState(), share.first_id) == Ids({A: share.first_id}, {1: share.first_id + 1})
    other = (prefix_bytes("10.1.20.0/24"),)
    part, own, around = (prefix_bytes(text) for text in ("10.1.20.128/25", "10.1.10.128/25", "10.1.0.0/16"))
    main = UPLINK._replace(also_connected=other)
    assert all(map(main.connects, (*UPLINK.subnets, *other, part)))
    assert not any(map(main.connects, (own, around)))
    assert not any(map(main._replace(share=share).connects, (*UPLINK.subnets, *other, part)))
