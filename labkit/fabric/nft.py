"""From one nftables program to another in a single transaction, or in as few as the kernel allows."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence

from labkit.fabric import iproute
from labkit.fabric.prefixes import Range, range_text
from labkit.fabric.program import EMPTY, Chain, Hook, Map, Program

FAMILY = "netdev"
TABLE = "labkit"
UNKNOWN_RULE = "?"

Unit = tuple[str, ...]
"""Lines that belong into one transaction."""

ELEMENTS_AT_ONCE = 1000
_NETLINK_NETFILTER = 12
_SO_SNDBUFFORCE = 32
# Bytes of netlink messages for a byte of nft's language; measured, and rounded up by half.
_BYTES_OF_ELEMENTS = 3
_BYTES_OF_OTHERS = 10


def adopt() -> Program:
    """What the kernel's table consists of, by name: enough to change it in place into something known.

    Changing a table in place loses no packet: the kernel switches between generations of rules and elements at once.
    Deleting it and making it again, even in one transaction, was seen to lose one at 80,000 a second every other time.

    Raises:
        KernelRefused: the kernel does not answer.
    """
    chains: dict[str, Chain] = {}
    maps: dict[str, Map] = {}
    counters: set[str] = set()
    for item in iproute.query("nft", "-j", "-t", "list", "ruleset", FAMILY)["nftables"]:
        for kind, thing in item.items():
            if thing.get("table") != TABLE:
                continue
            match kind:
                case "chain":
                    chains[thing["name"]] = Chain((UNKNOWN_RULE,), Hook("", 0) if "hook" in thing else None)
                case "map":
                    maps[thing["name"]] = Map("", {}, unknown=True)
                case "counter":
                    counters.add(thing["name"])
    return Program(chains, maps, frozenset(counters))


def change(old: Program, new: Program) -> Iterator[Unit]:
    """What turns one program into the other, touching only what differs, in an order in which the kernel takes it."""
    if old == EMPTY:
        yield (f"add table {FAMILY} {TABLE}",)
    yield from _declare(old, new)
    for name, map_ in new.maps.items():
        if not map_.dynamic:
            yield from _elements(name, old.maps.get(name), map_.elements)
    for name, chain in new.chains.items():
        if old.chains.get(name) != chain:
            # Together, or a port would pass everything for a moment.
            rules = (f"add rule {FAMILY} {TABLE} {name} {rule}" for rule in chain.rules)
            yield (f"flush chain {FAMILY} {TABLE} {name}", *rules)
    yield from _remove(old, new)


def transactions(units: Iterable[Unit], room: int | None) -> Iterator[list[str]]:
    """Pack units into transactions of at most `room` bytes on their way to the kernel (None: one takes them all)."""
    lines: list[str] = []
    size = 0
    for unit in units:
        weight = sum(len(line) * (_BYTES_OF_ELEMENTS if " element " in line else _BYTES_OF_OTHERS) for line in unit)
        if lines and room is not None and size + weight > room:
            yield lines
            lines, size = [], 0
        lines.extend(unit)
        size += weight
    if lines:
        yield lines


def room() -> int | None:
    """How many bytes a transaction may have: None for any number, as with NET_ADMIN on the machine itself.

    In a user namespace nft may not enlarge its socket's send buffer, so about 60 ports or 3,000 routes fill it.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 1 << 20)
        except PermissionError:
            return probe.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    return None


def run(lines: Iterable[str]) -> None:
    """Apply lines as one transaction.

    Raises:
        KernelRefused: the kernel refused, and nothing was changed.
    """
    iproute.run(["nft", "-f", "-"], lines)


def _declare(old: Program, new: Program) -> Iterator[Unit]:
    for name in sorted(new.counters - old.counters):
        yield (f"add counter {FAMILY} {TABLE} {name}",)
    for name, chain in new.chains.items():
        former = old.chains.get(name)
        if former is None or former.hook != chain.hook:
            yield (f"add chain {FAMILY} {TABLE} {name}{_hook(chain)}",)
    # After the chains: nft 1.0 sends the elements of a new map together with it, and they refer to chains.
    for name, map_ in new.maps.items():
        if name not in old.maps:
            yield (f"add map {FAMILY} {TABLE} {name} {{ {map_.type} }}",)


def _hook(chain: Chain) -> str:
    if chain.hook is None:
        return ""
    return f' {{ type filter hook {chain.hook.direction} device "{chain.hook.interface}" priority 0; policy accept; }}'


def changed_elements(old: Map | None, new: Mapping[Range, str]) -> int:
    """How many elements of a map it takes to make it `new`."""
    if old is None or old.unknown:
        return len(new)
    return sum(old.elements.get(key) != value for key, value in new.items()) + len(old.elements.keys() - new.keys())


def _elements(name: str, old: Map | None, new: Mapping[Range, str]) -> Iterator[Unit]:
    former = {} if old is None or old.unknown else old.elements
    emptied = (f"flush map {FAMILY} {TABLE} {name}",) if old is not None and old.unknown else ()
    gone = [range_text(key) for key, value in former.items() if new.get(key) != value]
    come = [f"{range_text(key)} : {value}" for key, value in new.items() if former.get(key) != value]
    lines = [
        *(f"delete element {FAMILY} {TABLE} {name} {{ {', '.join(part)} }}" for part in _parts(gone)),
        *(f"add element {FAMILY} {TABLE} {name} {{ {', '.join(part)} }}" for part in _parts(come)),
    ]
    if old is None:
        # Nothing refers to a new map yet, so it may be filled little by little.
        yield from ((line,) for line in lines)
    elif emptied or lines:
        yield (*emptied, *lines)


def _parts(items: Sequence[str]) -> Iterator[Sequence[str]]:
    return (items[i : i + ELEMENTS_AT_ONCE] for i in range(0, len(items), ELEMENTS_AT_ONCE))


def _remove(old: Program, new: Program) -> Iterator[Unit]:
    # Hooked chains refer to maps, and maps to group chains; hence this order.
    gone = [name for name in old.chains if name not in new.chains]
    hooked = [name for name in gone if old.chains[name].hook]
    jumped_to = [name for name in gone if not old.chains[name].hook]
    yield from ((f"delete chain {FAMILY} {TABLE} {name}",) for name in hooked)
    yield from ((f"delete map {FAMILY} {TABLE} {name}",) for name in old.maps if name not in new.maps)
    yield from ((f"delete chain {FAMILY} {TABLE} {name}",) for name in jumped_to)
    yield from ((f"delete counter {FAMILY} {TABLE} {name}",) for name in sorted(old.counters - new.counters))
