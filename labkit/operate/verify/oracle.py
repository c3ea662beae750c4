"""The running lab against the rules: every VM's kernel and every fabric's program must agree with the oracle.

A router's kernel must agree with its BGP, and have its static routes.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from functools import partial
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import ON_LINK, NextHopType, Nic
from labkit.azure.model.ranges import Ranges
from labkit.azure.rules.effective import DEFAULT_ROUTE
from labkit.feed.tables import ForwardingTable
from labkit.lab.model import Lab
from labkit.lab.plan.addressing import subnet_of
from labkit.lab.plan.nic_tables import RT_TABLE_MAIN, nic_table
from labkit.lab.plan.speakers import static_prefixes
from labkit.lab.sessions import router_daemons
from labkit.operate.look.kernel import KernelPath
from labkit.operate.look.live_state import LiveState
from labkit.operate.verify.difference import NOTHING, Difference
from labkit.operate.verify.fabric_check import fabric_difference
from labkit.operate.verify.firewall_check import firewall_difference
from labkit.predict import customer_routers

BY_BGP = "a route by BGP"
STATIC = "a static route"
_A_RULE = "the policy rule of its NIC"


def oracle_checks(lab: Lab) -> Iterator[tuple[str, Callable[[LiveState], str | None]]]:
    """A check for the kernel of every VM, router and firewall, and one for every fabric, each with its title."""
    for vm in lab.virtual_machines:
        yield (
            f"kernel of {vm.name} agrees with its effective routes",
            partial(kernel_difference, vm.name),
        )
    with_bgp = router_daemons(lab)
    for router in (r for r in routers(lab) if r not in lab.own_routers):
        routes = "BGP and static routes" if router in with_bgp else "static routes"
        yield f"kernel of {router} agrees with its {routes}", partial(router_difference, router)
    for firewall in lab.azure.firewalls:
        for node in (instance.node for instance in firewall.instance_ids):
            yield f"kernel of {node} has the rules of {firewall.name}", partial(firewall_difference, node)
    for vnet in lab.azure.virtual_networks:
        yield (
            f"fabric {vnet.name} agrees with the effective routes",
            partial(fabric_difference, vnet.name),
        )


def routers(lab: Lab) -> tuple[str, ...]:
    """The nodes whose kernels have the routes of a daemon, NVAs without BGP among them."""
    return tuple(dict.fromkeys((*router_daemons(lab), *lab.nva)))


def kernel_difference(vm: str, live: LiveState) -> str | None:
    """The first difference between a VM's kernel FIB and its effective routes, None if there is none."""
    for found in kernel_differences(vm, live):
        there, right = ("nothing" if text == NOTHING else text for text in (found.there, found.model))
        what = found.prefix or _A_RULE
        return f"{what} is {there} in the {found.where}; expected: {right}. Look: {found.hint}"
    return None


def kernel_differences(vm: str, live: LiveState) -> Iterator[Difference]:
    """Every difference between a VM's kernel FIB and its effective routes, by NIC and ascending prefix."""
    primary, *others = live.lab.azure.nics_of(vm)
    # In the main table the routes to the subnets of all NICs are the kernel's own.
    connected = [subnet_of(live.lab.azure, nic) for nic in (primary, *others)]
    yield from _table_differences(live, primary, RT_TABLE_MAIN, f"kernel of {vm}", f"labkit routes {vm}", connected)
    for number, nic in enumerate((primary, *others) if vm in live.lab.policy_routed else ()):
        table = nic_table(number)
        hint = f"labkit exec {vm} -- ip route show table {table}"
        yield from _table_differences(live, nic, table, _table_of(nic, table), hint)
    yield from _rule_differences(vm, live)


def _table_of(nic: Nic, table: int) -> str:
    return f"kernel of {nic.machine}, table {table} of NIC {nic.name}"


def _rule_differences(machine: str, live: LiveState) -> Iterator[Difference]:
    """Every policy rule of a machine with several NICs that is missing, or somebody's own."""
    nics = live.lab.azure.nics_of(machine)
    for number, nic in enumerate(nics if len(nics) > 1 else ()):
        table = nic_table(number) if machine in live.lab.policy_routed else None
        for address in nic.addresses:
            right, there = (
                NOTHING if each is None else f"from {address} lookup {each}"
                for each in (table, live.table_from(machine, address))
            )
            if right != there:
                where = f"kernel of {machine}" if table is None else _table_of(nic, table)
                yield Difference(where, "", right, there, f"labkit exec {machine} -- ip rule show")


def router_difference(router: str, live: LiveState) -> str | None:
    """The first difference between a router's kernel and its Loc-RIB and static routes, None if there is none."""
    for found in router_differences(router, live):
        if not found.prefix:
            return f"{_A_RULE} is {found.there} in the {found.where}; expected: {found.model}. Look: {found.hint}"
        what = "is BGP's no longer, and still in"
        if found.there == NOTHING:
            what = f"is {'used by BGP' if found.model == BY_BGP else STATIC} and missing from"
        return f"{found.prefix} {what} the {found.where}. Look: {found.hint}"
    return None


def router_differences(router: str, live: LiveState) -> Iterator[Difference]:
    """The prefixes that a router's daemon uses and its kernel does not have, or the other way round; static routes too.

    None for a router that is off, or whose daemon does not run.
    """
    with_bgp = router in router_daemons(live.lab)
    if router in live.off or (with_bgp and not live.has_bgp(router)):
        return
    used, kernel = live.bgp(router).loc_rib if with_bgp else frozenset(), live.kernel(router)
    where, hint = f"kernel of {router}", f"labkit routes {router}"
    static = static_prefixes(live.lab, router, live.azure)
    there = {route.prefix for route in kernel}
    for prefix in sorted(static - there):
        yield Difference(where, str(prefix), STATIC, NOTHING, hint)
    # What others advertise of the router's own addresses is in its table, and its own route comes first.
    own = {IPv4Network(address) for address, node in live.owners.items() if node == router}
    missing = used - static - there - own
    for prefix in sorted(missing - inactive(router, live) if missing else ()):
        yield Difference(where, str(prefix), BY_BGP, NOTHING, hint)
    for prefix in sorted({r.prefix for r in kernel if live.is_by_bgp(router, str(r.prefix), r.protocol)} - used):
        yield Difference(where, str(prefix), NOTHING, BY_BGP, hint)
    for number, nic in enumerate(live.lab.azure.nics_of(router) if router in live.lab.policy_routed else ()):
        table = nic_table(number)
        if DEFAULT_ROUTE not in {path.prefix for path in live.kernel(router, table)}:
            hint = f"labkit exec {router} -- ip route show table {table}"
            yield Difference(_table_of(nic, table), str(DEFAULT_ROUTE), STATIC, NOTHING, hint)
    if router in live.lab.nva:
        yield from _rule_differences(router, live)


def inactive(router: str, live: LiveState) -> frozenset[IPv4Network]:
    """The prefixes whose best path a router's daemon never uses, although its table shows it as the best."""
    customers = customer_routers.routers(live.lab, live.azure)
    if router not in customers or not live.has_bgp(router):
        return frozenset()
    speaker = customers[router].speaker
    neighbours = {neighbour.address: neighbour for neighbour in speaker.neighbours}
    best = ((path, neighbours.get(path.neighbour)) for path in live.bgp(router).paths if path.best)
    return frozenset(
        path.prefix for path, neighbour in best if neighbour is not None and not speaker.uses(neighbour, path.next_hop)
    )


def _table_differences(  # noqa: PLR0917 - a table, and what a difference in it is reported with
    live: LiveState, nic: Nic, table: int, where: str, hint: str, connected: Sequence[IPv4Network] = ()
) -> Iterator[Difference]:
    """Every difference in a table. Those to the subnet of the NIC and to what is in others' are the kernel's own."""
    gateway = subnet_of(live.lab.azure, nic)[1]
    own = frozenset(address for each in live.lab.azure.nics_of(nic.machine) for address in each.addresses)
    first, others = connected[:1], Ranges(connected[1:])
    wanted = {
        prefix: hops
        for prefix, hops in _wanted(live.state.forwarding[nic.name], gateway, own).items()
        if prefix not in first and not others.covers(prefix)
    }
    found: dict[IPv4Network, KernelPath] = {}
    for path in live.kernel(nic.machine, table):
        if path.protocol != "kernel":
            found.setdefault(path.prefix, path)  # the kernel lists, and uses, the best one first
    for prefix in sorted(wanted.keys() | found.keys()):
        hop = wanted.get(prefix)
        row = found.get(prefix)
        there = _text(row.type, row.gateways) if row is not None else NOTHING
        right = _text(*hop) if hop is not None else NOTHING
        if there != right:
            yield Difference(where, str(prefix), right, there, hint)


def _wanted(
    table: ForwardingTable, gateway: IPv4Address, own: Container[IPv4Address]
) -> dict[IPv4Network, tuple[str, tuple[IPv4Address, ...]]]:
    groups: dict[int, tuple[str, tuple[IPv4Address, ...]]] = {}
    for number, group in table.groups.items():
        # The fabric alone drops what leads to None: the kernel sends it.
        if group.type in {NextHopType.INTERNET, NextHopType.NONE}:
            groups[number] = ("unicast", (gateway,))
        elif group.type in ON_LINK:
            groups[number] = ("unicast", ())
        else:
            # Nor does a kernel send to itself as a next hop.
            hops = {gateway if hop in own else hop for hop in group.next_hops}
            groups[number] = ("unicast", tuple(sorted(hops)))
    return {IPv4Network(prefix): groups[group] for prefix, group in table.routes.items()}


def _text(kind: str, gateways: tuple[IPv4Address, ...]) -> str:
    if gateways:
        return f"via {', '.join(map(str, gateways))}"
    return "on-link" if kind == "unicast" else kind
