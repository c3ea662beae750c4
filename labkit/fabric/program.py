"""The nftables program of a fabric: which chains, maps and counters forward by its tables. Pure functions.

One `netdev` ingress chain per port sees every packet before the bridge does and rewrites the destination MAC by the
effective routes of the port's NIC, whatever next hop the guest picked [two-stage-forwarding]; the bridge
then delivers by its static forwarding database.

    out-<port>       egress chain of a port: nothing for anyone else gets to a NIC without IP forwarding; what is for
                     the frontend of a load balancer gets the address of the NIC that is behind it
    in-<port>        ingress chain of a port
    nics             NICs of this virtual network: MAC by address
    reachable        the same and those of peered virtual networks
    r-<table>        forwarding table: a jump for every disjoint interval of addresses
    g-<table>-<id>   next-hop group of a table: rewrites the MAC and accepts, or returns with a mark that has the reason
    to-<port>        map of what a NIC has got so: the frontend by the client's address, protocol and ports
    lb-<name>        load balancer: rewrites the MAC to that of a backend that is up and accepts, or returns with a mark
    drop-<port>-<reason>   counter of dropped packets; `nft list counters` shows them

Names begin with a word of ours, since a port named `inet` or `1st` would be no identifier.

A table is shared by the ports that have it, and a failover rewrites one group's chain and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from labkit.azure.flows import choices, seeds
from labkit.azure.model import ON_LINK
from labkit.fabric.prefixes import Range, parse_prefix
from labkit.fabric.prober import PROBE_SOURCE
from labkit.fabric.state import Fabric, FabricTable
from labkit.feed.switch import Frontend, InternetPort, NicPort, PeeringPort, Port
from labkit.feed.tables import VIA, NextHops

# Marks that a group's chain leaves on a packet it does not forward. Marks are 0 on arrival and seen by nobody else. In
# a load balancer's chain the mark is the hash of one direction until the chain has decided.
_NONE = 1
_UNKNOWN = 2
_NO_BACKEND = 3
_NO_RULE = 4

_ROUTES = "type ipv4_addr : verdict; flags interval;"
_MACS = "type ipv4_addr : ether_addr;"
# Azure forgets a flow that is idle for four minutes by default, too.
_CLIENTS = (
    "type ipv4_addr . inet_proto . inet_service . inet_service : ipv4_addr; flags dynamic, timeout; timeout 4m; "
    "size 65535;"
)

ADDRESSED = "12:34:56:78:9a:bd"
"""The source MAC of what is addressed to a frontend, on its way to a backend. No guest has it."""

# A hash over ports is only right where every packet of a flow shows them: for ICMP these bytes are the checksum, and
# later fragments have none. 0x3fff are the offset and the "more fragments" flag.
_HAS_PORTS = "ip protocol { tcp, udp } ip frag-off & 0x3fff == 0"
_FLOW_WITH_PORTS = "ip saddr . ip daddr . ip protocol . th sport . th dport"
_FLOW = "ip saddr . ip daddr . ip protocol"
_REVERSE = {
    _FLOW_WITH_PORTS: "ip daddr . ip saddr . ip protocol . th dport . th sport",
    _FLOW: "ip daddr . ip saddr . ip protocol",
}
_FLOWS = ((f"{_HAS_PORTS} ", _FLOW_WITH_PORTS), ("", _FLOW))


@dataclass(frozen=True, slots=True)
class Hook:
    """Where a chain hangs. A new index under an old name is another interface; 0 is one that went away."""

    interface: str
    index: int
    direction: str = "ingress"


@dataclass(frozen=True, slots=True)
class Chain:
    """Rules in order, and the interface whose packets they see first (None: only jumped to)."""

    rules: tuple[str, ...]
    hook: Hook | None = None


@dataclass(frozen=True, slots=True)
class Map:
    """A map from addresses to values of its `type`, in nftables' syntax. The ranges are disjoint.

    One that is `unknown` may have anything apart from `elements`. Those of a `dynamic` one are the kernel's own.
    """

    type: str
    elements: Mapping[Range, str]
    unknown: bool = False
    dynamic: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """The content of an nftables table."""

    chains: Mapping[str, Chain]
    maps: Mapping[str, Map]
    counters: frozenset[str]


EMPTY = Program({}, {}, frozenset())
"""An empty table."""


def build(fabric: Fabric, interfaces: Mapping[str, int], map_names: Mapping[str, str] | None = None) -> Program:
    """The program of a fabric.

    Args:
        fabric: what it should do.
        interfaces: the index of every interface there is. A port whose interface is not there yet has no chain; its
            node's address and MAC are known to the others all the same.
        map_names: the names of the maps of forwarding tables that are not called `r-<table>`.
    """
    names = {name: f"r-{name}" for name in fabric.tables} | dict(map_names or {})
    chains: dict[str, Chain] = {}
    counters: set[str] = set()
    for name, table in fabric.tables.items():
        for number, group in table.groups.items():
            chains[f"g-{name}-{number}"] = Chain(tuple(_group(fabric, group)))
    for name, balancer in fabric.load_balancers.items():
        chains[f"lb-{name}"] = Chain(tuple(_balance(fabric, balancer)))
    for name, port in fabric.ports.items():
        if name in interfaces:
            rules = tuple(_port(fabric, name, port, names))
            chains[f"in-{name}"] = Chain(rules, Hook(name, interfaces[name]))
            counters |= {f"drop-{name}-{reason}" for reason in _reasons(fabric, port)}
            if isinstance(port, NicPort) and (arriving := tuple(_arriving(fabric, name, port))):
                chains[f"out-{name}"] = Chain(arriving, Hook(name, interfaces[name], "egress"))
    maps = {names[name]: _routes(name, table) for name, table in fabric.tables.items()}
    maps |= {
        f"to-{name}": Map(_CLIENTS, {}, dynamic=True)
        for name, port in fabric.ports.items()
        if isinstance(port, NicPort) and _frontends(fabric, port)
    }
    maps |= {"nics": _macs(fabric.nics), "reachable": _macs(fabric.reachable)}
    return Program(chains, maps, frozenset(counters))


def unhooked(program: Program, gone: Set[int]) -> Program:
    """The program after interfaces (indices) went away: their chains may be gone with them, or hang in the air."""
    chains = {
        name: replace(chain, hook=replace(chain.hook, index=0)) if chain.hook and chain.hook.index in gone else chain
        for name, chain in program.chains.items()
    }
    return replace(program, chains=chains)


def _routes(name: str, table: FabricTable) -> Map:
    jumps = {number: f"jump g-{name}-{number}" for number in table.groups}
    return Map(_ROUTES, {addresses: jumps[number] for addresses, number in table.intervals.items()})


def _macs(macs: Mapping[str, str]) -> Map:
    return Map(_MACS, {parse_prefix(f"{address}/32"): mac for address, mac in macs.items()})


def _reasons(fabric: Fabric, port: Port) -> tuple[str, ...]:
    if isinstance(port, NicPort):
        reasons = ["not-ipv4", "protocol", "foreign-source", "none", "unknown-destination", "no-route"]
        reasons += ["no-backend", "no-rule"] if fabric.load_balancers else []
        return (*reasons,) if port.ip_forwarding else (*reasons, "foreign-destination")
    others = ("not-ipv4", "unknown-destination")
    return (*others, "forwarded") if isinstance(port, PeeringPort) and port.sources is not None else others


def _drop(port: str, reason: str) -> str:
    return f"counter name drop-{port}-{reason} drop"


def _port(fabric: Fabric, name: str, port: Port, map_names: Mapping[str, str]) -> Iterator[str]:
    """The rules of a port's ingress chain. Each ends in a drop: the chain's own policy is never reached."""
    if isinstance(port, PeeringPort):
        # The sender's fabric decided. What is addressed to the bridge itself would be routed here: never.
        yield f"ether type != ip {_drop(name, 'not-ipv4')}"
        if port.sources is not None:
            yield f"ip saddr != {{ {', '.join(port.sources)} }} {_drop(name, 'forwarded')}"
        yield f"ether daddr != {fabric.mac} accept"
        yield _drop(name, "unknown-destination")
        return
    # Questions go to everyone or to the bridge, which answers them all; nobody else's cache is theirs to fill.
    yield f"ether type arp ether daddr {{ ff:ff:ff:ff:ff:ff, {fabric.mac} }} accept"
    yield f"ether type != ip {_drop(name, 'not-ipv4')}"
    if isinstance(port, InternetPort):
        yield "ether daddr set ip daddr map @nics accept"
        yield _drop(name, "unknown-destination")
        return
    # IP-in-IP and GRE don't work in virtual networks [blocked-protocols]. Not every machine knows
    # them by name.
    yield f"ip protocol {{ 4, 47 }} {_drop(name, 'protocol')}"
    if not port.ip_forwarding:
        yield f"ip saddr != {_own(port)} {_drop(name, 'foreign-source')}"
    for answer in _answers(fabric, port):
        # A probe is the platform's: no route of the NIC leads its answer astray, only one of the guest does.
        yield f"{answer} ether daddr set {fabric.mac} accept"
    if _frontends(fabric, port):
        client = "ip daddr . ip protocol . th dport . th sport"
        yield f"ip saddr {port.address} {_HAS_PORTS} ip saddr set {client} map @to-{name}"
    yield f"ip daddr vmap @{map_names[port.table]}"
    yield f"meta mark {_NONE} {_drop(name, 'none')}"
    yield f"meta mark {_UNKNOWN} {_drop(name, 'unknown-destination')}"
    if fabric.load_balancers:
        yield f"meta mark {_NO_BACKEND} {_drop(name, 'no-backend')}"
        yield f"meta mark {_NO_RULE} {_drop(name, 'no-rule')}"
    yield _drop(name, "no-route")


def _arriving(fabric: Fabric, name: str, port: NicPort) -> Iterator[str]:
    """The rules of a port's egress chain: what its NIC gets."""
    for frontend in _frontends(fabric, port):
        client = "ip saddr . ip protocol . th sport . th dport"
        addressed = f"ether type ip ether saddr {ADDRESSED} ip daddr {frontend} {_HAS_PORTS}"
        remembered = f"update @to-{name} {{ {client} : {frontend} }}"
        yield f"{addressed} {remembered} ip daddr set {port.address}"
    if not port.ip_forwarding:
        yield f"ether type ip ip daddr != {_own(port)} {_drop(name, 'foreign-destination')}"


def _frontends(fabric: Fabric, port: NicPort) -> tuple[str, ...]:
    """The frontends of the load balancers that a port's NIC is behind."""
    return tuple(b.address for b in fabric.load_balancers.values() if port.address in b.backends.values())


def _own(port: NicPort) -> str:
    """The addresses of a NIC, as a rule compares with them."""
    return port.address if len(port.addresses) == 1 else f"{{ {', '.join(port.addresses)} }}"


def _group(fabric: Fabric, group: NextHops) -> Iterator[str]:
    """The rules of a next-hop group. A statement whose map has no answer ends its rule, and the next one is tried."""
    if group.type == "None":
        yield f"meta mark set {_NONE} return"
        return
    if group.type in ON_LINK:
        yield "ether daddr set ip daddr map @reachable accept"
        yield from (f"ip daddr {address} goto lb-{name}" for address, name in fabric.frontends.items())
    elif group.type in VIA:
        yield from _via(fabric, tuple(map(str, group.next_hops)))
    elif fabric.internet is not None:
        yield f"ether daddr set {fabric.internet} accept"
    yield f"meta mark set {_UNKNOWN} return"


def _via(fabric: Fabric, hops: tuple[str, ...]) -> Iterator[str]:
    macs = {i: mac for i, hop in enumerate(hops) if (mac := fabric.reachable.get(hop)) is not None}
    chains = {i: f"lb-{fabric.frontends[hop]}" for i, hop in enumerate(hops) if hop in fabric.frontends}
    if len(hops) == 1:
        yield from (f"ether daddr set {mac} accept" for mac in macs.values())
        # Not a jump: the mark with which that chain returns is the port's to see.
        yield from (f"goto {chain}" for chain in chains.values())
        return
    for condition, flow in _FLOWS:
        if macs:
            yield f"{condition}{_set_mac(_hash(flow, len(hops), fabric.seed), macs)} accept"
        if chains:
            jumps = ", ".join(f"{i} : goto {chain}" for i, chain in chains.items())
            yield f"{condition}{_hash(flow, len(hops), fabric.seed)} vmap {{ {jumps} }}"
        if condition and 0 < len(macs) + len(chains) < len(hops):
            yield f"{condition}meta mark set {_UNKNOWN} return"


def _balance(fabric: Fabric, balancer: Frontend) -> Iterator[str]:
    """The rules of a load balancer, by `labkit.azure.flows.backend`."""
    macs = [fabric.reachable.get(address, "") for address in balancer.backends.values()]
    up = [mac != "" and balancer.is_up(name) for name, mac in zip(balancer.backends, macs, strict=True)]
    addressed = f"ip daddr {balancer.address}"
    yield f"{addressed} ip protocol != {{ tcp, udp }} meta mark set {_NO_RULE} return"
    yield f"{addressed} ip frag-off & 0x3fff != 0 meta mark set {_NO_RULE} return"
    yield f"{addressed} ether saddr set {ADDRESSED}"
    if sum(up) == 1:
        yield f"ether daddr set {macs[up.index(True)]} accept"
        return
    for condition, flow in _FLOWS if any(up) else ():
        for seed, choice in zip(seeds(IPv4Address(balancer.address)), choices(up), strict=False):
            # nft 1.0.6 can't list maps by two hashes: the first one becomes the mark.
            yield f"{condition}meta mark set {_hash(flow, choice.count, seed)}"
            for one in range(choice.count):
                row = {other: macs[p] for (first, other), p in choice.by_hashes.items() if first == one}
                yield f"{condition}meta mark {one} {_set_mac(_hash(_REVERSE[flow], choice.count, seed), row)} accept"
    yield f"meta mark set {_NO_BACKEND} return"


def _hash(flow: str, count: int, seed: int) -> str:
    # A fixed seed: by default each load draws a new one, and every flow might move.
    return f"jhash {flow} mod {count} seed {seed:#x}"


def _set_mac(number: str, macs: Mapping[int, str]) -> str:
    """One of some MACs by a number; no answer, so that the next rule is tried, where `macs` has none for it."""
    return f"ether daddr set {number} map {{ {', '.join(f'{i} : {mac}' for i, mac in macs.items())} }}"


def _answers(fabric: Fabric, port: NicPort) -> Iterator[str]:
    """What matches the answers of a NIC to this fabric's own probes."""
    for balancer in fabric.load_balancers.values():
        if balancer.probe is not None and port.address in balancer.backends.values():
            yield f"ip saddr {port.address} ip daddr {PROBE_SOURCE} tcp sport {balancer.probe.port}"
