"""Whether every BGP table of a running lab is what the rules and its file make of the others."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from labkit.lab.model import Lab
from labkit.operate.diff.bgp import (
    compare,
    effective_differences,
    gateway_differences,
    held_differences,
    server_differences,
)
from labkit.operate.diff.outside import site_differences
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.snapshot import Snapshot, customer_adj_ribs_out, read
from labkit.operate.verify.difference import Difference
from labkit.operate.verify.run import Check
from labkit.predict.converge import CustomerRouters
from labkit.predict.sessions import comes_to_rest

SHOWN = 3
"""How many differences a problem has."""


def table_checks(lab: Lab) -> Iterator[Check]:
    """The check of all tables, with its title; for a lab that has just booted: what is changed by hand differs.

    None for a lab whose tables never come to rest.
    """
    if comes_to_rest(lab, lab.azure):
        yield "BGP tables and effective routes are as predicted", table_problem


def table_problem(live: LiveState) -> str | None:
    """The first differences between the tables of a running lab and what they should be, None if there are none.

    There may be several states in which a network is at rest. It is in one of them when every speaker's tables follow
    from what its neighbours advertise.
    """
    snapshot = read(live)
    parts = (server_differences, held_differences, gateway_differences, site_differences, customer_differences)
    found = list(chain(*(part(snapshot, live) for part in parts), effective_differences(snapshot)))
    texts = [f"{each.where}: {each.prefix} is {each.there}; expected: {each.model}" for each in found[:SHOWN]]
    more = f"; {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"{'; '.join(texts)}{more}. Look: labkit diff" if found else None


def customer_differences(snapshot: Snapshot, live: LiveState) -> Iterator[Difference]:
    """What NVAs and sites advertise against what the lab file makes them advertise.

    An NVA that tracks a service may have withdrawn its own prefixes.
    """
    customers = CustomerRouters(snapshot.lab, snapshot.azure)
    advertised = customer_adj_ribs_out(customers, live, snapshot.adj_ribs_in)
    own = snapshot.lab.own_routers
    for name, router in customers.routers.items():
        if name in own:
            continue
        up = [session for session in router.sessions if session in advertised]
        adj_rib_in = {session: live.bgp(name).adj_rib_in(session.neighbour.address) for session in up}
        loc_rib = router.loc_rib(adj_rib_in)
        nva = snapshot.lab.nva.get(name)
        tracks = nva is not None and nva.tracks is not None
        tracked = snapshot.azure.appliance[name].advertises if tracks else ()
        for session in (s for s in up if s.neighbour.name not in own):
            far = session.neighbour.name
            made = customers.accepted(session, router.advertises(session, loc_rib, adj_rib_in))
            there = advertised[session]
            wanted = {p: a for p, a in made.items() if p in there or p not in tracked}
            yield from compare(f"{far}, from {name}", wanted, there, f"labkit routes {name} --bgp")
