"""Sets of address ranges with a fast membership test, and tables with a fast longest prefix match.

`ipaddress` takes several microseconds to decide whether one network lies in another. At ten thousand routes for every
NIC that is the whole budget, so the ranges are kept as integers, grouped by prefix length.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Generic, TypeVar

T = TypeVar("T")
_BITS = 32


class Ranges:
    """An immutable set of address ranges. It may hold hundreds: the test depends on how many lengths they have."""

    __slots__ = ("_groups",)

    def __init__(self, ranges: Iterable[IPv4Network]) -> None:
        groups: dict[int, set[int]] = {}
        for prefix in ranges:
            groups.setdefault(prefix.prefixlen, set()).add(int(prefix.network_address) >> (_BITS - prefix.prefixlen))
        self._groups = tuple((length, _BITS - length, frozenset(groups[length])) for length in sorted(groups))

    def covers(self, prefix: IPv4Network) -> bool:
        """Whether `prefix` is equal to or inside one of the ranges."""
        prefixlen, network = prefix.prefixlen, int(prefix.network_address)
        for length, shift, heads in self._groups:
            if length > prefixlen:
                return False
            if network >> shift in heads:
                return True
        return False

    def contains(self, address: IPv4Address) -> bool:
        """Whether `address` lies in one of the ranges."""
        value = int(address)
        return any(value >> shift in heads for _, shift, heads in self._groups)


class LongestMatch(Generic[T]):
    """An immutable table of values by address range, of which the longest prefix that covers an address counts."""

    __slots__ = ("_groups",)

    def __init__(self, values: Mapping[IPv4Network, T]) -> None:
        groups: dict[int, dict[int, T]] = {}
        for prefix, value in values.items():
            shift = _BITS - prefix.prefixlen
            groups.setdefault(shift, {})[int(prefix.network_address) >> shift] = value
        self._groups = sorted(groups.items())

    def of(self, address: IPv4Address) -> T | None:
        """The value of the longest prefix that covers `address`; None if none does."""
        value = int(address)
        for shift, heads in self._groups:
            found = heads.get(value >> shift)
            if found is not None:
                return found
        return None
