"""From one nftables program to another in a single transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from labkit.fabric import iproute
from labkit.fabric.prefixes import Range, range_text
from labkit.fabric.program import EMPTY, Chain, Hook, Map, Program

FAMILY = "netdev"
TABLE = "labkit"
UNKNOWN_RULE = "?"


def adopt() -> Program:
    """What the kernel's table consists of, by name: enough to change it in place into something known.

    Changing a table in place loses no packet. Replacing it loses those that are between two of its hooks, or between
    a rule and its map, at the instant of the switch: half a packet at 80,000 a second, but not none.

    Raises:
        KernelRefused: the kernel would not tell.
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


def replace(program: Program) -> Iterator[str]:
    """The lines that put a program in place of whatever the table holds, or of no table.

    The kernel switches from one generation to the other at once. Chains have the policy accept and end in drops, since
    a base chain hangs in its place, still without its rules, for a moment before (when new) and after (when old) the
    switch: packets pass it by and meet the other generation's.
    """
    yield f"add table {FAMILY} {TABLE}"
    yield f"delete table {FAMILY} {TABLE}"
    yield from change(EMPTY, program)


def change(old: Program, new: Program) -> Iterator[str]:
    """The lines that turn one program into the other, touching only what differs; none if nothing does."""
    if old == EMPTY:
        yield f"add table {FAMILY} {TABLE}"
    yield from _declare(old, new)
    for name, map_ in new.maps.items():
        former = old.maps.get(name, Map(map_.type, {}))
        if former.unknown:
            yield f"flush map {FAMILY} {TABLE} {name}"
        yield from _elements(name, former.elements, map_.elements)
    for name, chain in new.chains.items():
        if old.chains.get(name) != chain:
            yield f"flush chain {FAMILY} {TABLE} {name}"
            yield from (f"add rule {FAMILY} {TABLE} {name} {rule}" for rule in chain.rules)
    yield from _remove(old, new)


def run(lines: Iterable[str]) -> None:
    """Apply lines as one transaction; nothing is done if there are none.

    Raises:
        KernelRefused: the kernel refused, and nothing was changed.
    """
    script = list(lines)
    if script:
        iproute.run(["nft", "-f", "-"], script)


def _declare(old: Program, new: Program) -> Iterator[str]:
    for name in sorted(new.counters - old.counters):
        yield f"add counter {FAMILY} {TABLE} {name}"
    for name, chain in new.chains.items():
        former = old.chains.get(name)
        if former is None or former.hook != chain.hook:
            yield f"add chain {FAMILY} {TABLE} {name}{_hook(chain)}"
    # After the chains: nft 1.0 sends the elements of a new map together with it, and they refer to chains.
    for name, map_ in new.maps.items():
        if name not in old.maps:
            yield f"add map {FAMILY} {TABLE} {name} {{ {map_.type} }}"


def _hook(chain: Chain) -> str:
    if chain.hook is None:
        return ""
    return f' {{ type filter hook ingress device "{chain.hook.interface}" priority 0; policy accept; }}'


def _elements(name: str, old: Mapping[Range, str], new: Mapping[Range, str]) -> Iterator[str]:
    if old == new:
        return
    gone = [range_text(key) for key, value in old.items() if new.get(key) != value]
    come = [f"{range_text(key)} : {value}" for key, value in new.items() if old.get(key) != value]
    if gone:
        yield f"delete element {FAMILY} {TABLE} {name} {{ {', '.join(gone)} }}"
    if come:
        yield f"add element {FAMILY} {TABLE} {name} {{ {', '.join(come)} }}"


def _remove(old: Program, new: Program) -> Iterator[str]:
    # Hooked chains refer to maps, and maps to group chains; hence this order.
    gone = [name for name in old.chains if name not in new.chains]
    hooked = [name for name in gone if old.chains[name].hook]
    jumped_to = [name for name in gone if not old.chains[name].hook]
    yield from (f"delete chain {FAMILY} {TABLE} {name}" for name in hooked)
    yield from (f"delete map {FAMILY} {TABLE} {name}" for name in old.maps if name not in new.maps)
    yield from (f"delete chain {FAMILY} {TABLE} {name}" for name in jumped_to)
    yield from (f"delete counter {FAMILY} {TABLE} {name}" for name in sorted(old.counters - new.counters))
