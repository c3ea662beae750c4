from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.azure.rules.addressing import (
    forbidden_address_space,
    gateway_address,
    instance_addresses,
    is_usable,
    reserved_addresses,
    usable_addresses,
)

from .builders import addr, net

subnets = st.builds(
    lambda value, length: IPv4Network((value >> (32 - length) << (32 - length), length)),
    st.integers(0, 2**32 - 1),
    st.integers(22, 29),
)


def test_five_addresses_of_a_subnet_are_reserved() -> None:
    # .0 to .3 and the last address of each subnet [reserved-addresses].
    expected = ["10.1.1.0", "10.1.1.1", "10.1.1.2", "10.1.1.3", "10.1.1.255"]
    assert [str(a) for a in reserved_addresses(net("10.1.1.0/24"))] == expected


def test_the_smallest_subnet_has_three_usable_addresses() -> None:
    assert [str(a) for a in usable_addresses(net("10.1.1.8/29"))] == ["10.1.1.12", "10.1.1.13", "10.1.1.14"]


def test_smaller_subnets_are_an_error() -> None:
    with pytest.raises(ValueError, match="/29"):
        usable_addresses(net("10.1.1.8/30"))
    with pytest.raises(ValueError, match="/29"):
        reserved_addresses(net("10.1.1.8/30"))


@given(subnets)
def test_every_address_is_either_reserved_or_usable(subnet: IPv4Network) -> None:
    usable, reserved = set(usable_addresses(subnet)), set(reserved_addresses(subnet))
    assert usable | reserved == set(subnet)
    assert not usable & reserved
    assert {a for a in subnet if is_usable(subnet, a)} == usable
    assert not is_usable(
        subnet, subnet.broadcast_address + 6 if int(subnet.broadcast_address) < 2**31 else addr("1.1.1.6")
    )


def test_azures_own_addresses() -> None:
    # FAB-C has .68 and .69 in its RouteServerSubnet [two-instances].
    assert gateway_address(net("10.1.10.0/24")) == addr("10.1.10.1")
    assert instance_addresses(net("10.100.0.64/26")) == (addr("10.100.0.68"), addr("10.100.0.69"))


@pytest.mark.parametrize("prefix", ["169.254.1.0/24", "168.63.129.0/24", "127.0.0.0/8", "224.0.0.0/8", "0.0.0.0/0"])
def test_forbidden_address_space(prefix: str) -> None:
    assert forbidden_address_space(net(prefix)) is not None


def test_allowed_address_space() -> None:
    assert forbidden_address_space(net("10.0.0.0/8")) is None
