"""The packers against pyroute2's decoder, the parser against messages as the kernel writes them."""

import struct

from pyroute2.netlink.rtnl.rtmsg import rtmsg

from labkit.agent.dump import RouteParser, parse_nexthops
from labkit.agent.feed_table import prefix_bytes
from labkit.agent.kernel_routes import RT_SCOPE_LINK, RTN_UNICAST, KernelState, Member, Share, Target
from labkit.agent.netlink import (
    RTM_NEWROUTE,
    RTNH_F_ONLINK,
    pack_group,
    pack_hop,
    pack_routes,
    pack_stray_route,
)
from labkit.netlink import attributes

GATEWAY = bytes([10, 1, 10, 1])
RTN_BLACKHOLE = 6  # which no route of the agent is


def attribute(kind: int, payload: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(payload), kind) + payload


def described(prefix: str, protocol: int, *rest: bytes, table: int = 254, kind: int = 1, tos: int = 0) -> bytes:
    """A route as the kernel dumps it."""
    binary = prefix_bytes(prefix)
    body = struct.pack("=BBBBBBBBI", 2, binary[4], 0, tos, min(table, 255), protocol, 0, kind, 0)
    body += attribute(15, struct.pack("=I", table))
    if binary[4]:
        body += attribute(1, binary[:4])
    body += b"".join(rest)
    return struct.pack("=IHHII", 16 + len(body), RTM_NEWROUTE, 2, 1, 1) + body


def nexthop(*numbers: int) -> bytes:
    return b"".join(attribute(30, struct.pack("=I", n)) for n in numbers)


def test_packed_routes_read_as_pyroute2_reads_them() -> None:
    prefixes = [prefix_bytes("10.250.0.0/16"), prefix_bytes("0.0.0.0/0")]
    via = Target(RTN_UNICAST, gateway=GATEWAY, interface=7)
    for n, (data, text) in enumerate(
        zip(pack_routes(24, 0x400, via, prefixes, 5), ("10.250.0.0", "0.0.0.0"), strict=True)
    ):
        message = rtmsg(data)
        message.decode()
        assert message["header"]["length"] == len(data)
        assert (message["header"]["type"], message["header"]["flags"]) == (24, 0x401)
        assert message["header"]["sequence_number"] == 5 + n
        assert (message["family"], message["dst_len"]) == (2, prefixes[n][4])
        assert (message["table"], message["proto"], message["scope"], message["type"]) == (254, 65, 0, 1)
        assert message.get_attr("RTA_DST") == text
        assert message.get_attr("RTA_GATEWAY") == "10.1.10.1"
        assert message.get_attr("RTA_OIF") == 7
    for target, scope, kind, found in (
        (Target(RTN_UNICAST, RT_SCOPE_LINK, interface=7), 253, 1, {1, 4}),
        (Target(RTN_BLACKHOLE), 0, 6, {1}),
        (Target(RTN_UNICAST, group=9), 0, 1, {1, 30}),
    ):
        (data,) = pack_routes(24, 0, target, prefixes[:1], 0)
        message = rtmsg(data)
        message.decode()
        assert (message["scope"], message["type"]) == (scope, kind)
        assert attributes(data[28:]).keys() == found


def test_parser_separates_own_from_foreign_and_effective_from_shadowed() -> None:
    via = attribute(5, GATEWAY) + attribute(4, struct.pack("=I", 7))
    metric = attribute(6, struct.pack("=I", 5))
    mtu = attribute(8, attribute(2, struct.pack("=I", 1300)))
    strays = [
        described("10.2.0.0/16", 65, via),
        described("10.3.0.0/16", 65, metric, via),
        described("10.3.0.0/16", 65, via, table=1000),
        described("10.4.0.0/16", 65, mtu, via),
        described("10.5.0.0/16", 65, via, tos=8),
        described("10.1.0.0/16", 65, kind=6),
    ]
    messages = [
        described("10.1.0.0/16", 65, nexthop(9), via),
        described("0.0.0.0/0", 65, kind=6),
        described("10.2.0.0/16", 4, via),
        described("10.6.0.0/16", 2, via),
        described("10.7.0.0/16", 65, via),
        described("10.7.0.0/16", 4, via),
        *strays,
    ]
    state = KernelState()
    parser = RouteParser(state, Share())
    parser.parse(b"".join(messages[:3]))
    parser.parse(b"".join(messages[3:]))
    assert state.routes == {
        prefix_bytes("10.1.0.0/16"): Target(RTN_UNICAST, group=9),
        prefix_bytes("0.0.0.0/0"): Target(RTN_BLACKHOLE),
        prefix_bytes("10.7.0.0/16"): Target(RTN_UNICAST, gateway=GATEWAY, interface=7),
    }
    assert state.stray_routes == [stray[16:] for stray in strays]


def test_removal_of_a_stray_names_the_object_or_the_hops_but_not_both() -> None:
    via = attribute(5, GATEWAY) + attribute(4, struct.pack("=I", 7))
    assert attributes(pack_stray_route(described("10.2.0.0/16", 65, via)[16:], 0)[28:]).keys() == {15, 1, 5, 4}
    both = described("10.2.0.0/16", 65, nexthop(9), via)
    assert attributes(pack_stray_route(both[16:], 0)[28:]).keys() == {15, 1, 30}


def test_nexthops_there_and_back() -> None:
    own, other = pack_hop(3, GATEWAY, 7, 0), pack_hop(6, GATEWAY, 7, 0)
    # The protocol is the third byte behind the header.
    foreign = other[:18] + bytes([4]) + other[19:]
    made = [own, pack_hop(4, GATEWAY, 8, 0), pack_group(5, (Member(3), Member(4, 2)), 0), foreign]
    state = KernelState()
    parse_nexthops(b"".join(made), 7, Share(), state)
    assert state.hops == {3: GATEWAY}
    assert state.groups == {5: (Member(3), Member(4, 2))}
    assert state.stray_nexthops == [4]
    assert state.foreign_nexthops == {6}


def test_each_share_has_its_own_table_and_its_own_range_of_nexthops() -> None:
    via = attribute(5, GATEWAY) + attribute(4, struct.pack("=I", 7))
    further = Share(2, 3)
    routes = [
        described("10.1.0.0/16", 65, via),
        described("10.1.0.0/16", 65, kind=6, table=101),
        described("10.2.0.0/16", 65, via, table=102),
        described("10.3.0.0/16", 65, via, tos=8, table=101),
    ]
    hops = [
        pack_hop(1, GATEWAY, 7, 0),
        pack_hop(further.first_id, GATEWAY, 8, 0),
        pack_hop(Share(3, 4).first_id, GATEWAY, 9, 0),
    ]
    primary, other = KernelState(), KernelState()
    for share, interface, state in ((Share(0, 3), 7, primary), (further, 8, other)):
        RouteParser(state, share).parse(b"".join(routes))
        parse_nexthops(b"".join(hops), interface, share, state)
    on_link = Target(RTN_UNICAST, gateway=GATEWAY, interface=7)
    assert primary.routes == {prefix_bytes("10.1.0.0/16"): on_link}
    assert primary.stray_routes == [routes[2][16:]], "no share has this table"
    assert (primary.hops, primary.stray_nexthops) == ({1: GATEWAY}, [Share(3, 4).first_id])
    assert other.routes == {prefix_bytes("10.1.0.0/16"): Target(RTN_BLACKHOLE)}
    assert other.stray_routes == [routes[3][16:]]
    assert (other.hops, other.stray_nexthops) == ({further.first_id: GATEWAY}, [])
    assert primary.foreign_nexthops == {further.first_id}


def test_a_gateway_outside_the_main_table_is_declared_on_link() -> None:
    via = Target(RTN_UNICAST, gateway=GATEWAY, interface=7)
    for target, table, flags in ((via, 254, 0), (via, 101, RTNH_F_ONLINK), (Target(RTN_UNICAST, group=9), 101, 0)):
        message = rtmsg(pack_routes(24, 0, target, [prefix_bytes("10.250.0.0/16")], 0, table)[0])
        message.decode()
        assert (message["table"], message["flags"]) == (table, flags)
