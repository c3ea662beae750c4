"""What networks on premises make of routes and packets: two edge routers, relays, forced tunnelling, links."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.azure.forwarding import Disposition
from labkit.azure.model import PathAttributes
from labkit.azure.rules.rows import as_path_text
from labkit.daemons.frr import decide
from labkit.daemons.speaker import Advertisements, Best, CustomerSpeaker, Session
from labkit.lab.load import load, load_text
from labkit.lab.model import Lab
from labkit.predict.customer_routers import routers
from labkit.predict.sessions import expected_sessions
from labkit.predict.tables import PredictedTables
from labkit.predict.walk.steps import RouterStep
from labkit.predict.walk.walker import Walker
from labkit.predict.whatif.model import Side
from labkit.predict.whatif.reach import predicted, targets
from tests.unit.azure.builders import addr, net
from tests.unit.operate.test_whatif import settled

FILE = Path(__file__).parents[2] / "e2e" / "labs" / "sites.lab.yml"
LAB = load(FILE)
END = settled(LAB)
RIBS = END.routers.loc_rib
FAR, HUB = net("10.2.0.0/16"), net("10.1.0.0/16")


def ways(lab: Lab, source: str, target: str) -> list[str]:
    end = settled(lab)
    reach = predicted(lab, Side(lab.azure, end.speakers.adj_ribs_in, end.routers))
    return [str(way) for way in reach.ways(source, targets(lab)[target])]


def edited(*changes: tuple[str, str]) -> Lab:
    text = FILE.read_text(encoding="utf-8").partition("proofs:")[0]
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return load_text(text, "sites")


def sent(router: str, to: str, lab: Lab = LAB) -> Advertisements:
    return next(a for s, a in settled(lab).routers.adj_rib_out.items() if (s.router, s.neighbour.name) == (router, to))


def path(advertised: Advertisements, prefix: str) -> str | None:
    found = advertised.get(net(prefix))
    return as_path_text(found.as_path) if found is not None else None


def test_every_session_is_expected() -> None:
    found = {str(session) for session in expected_sessions(LAB, LAB.azure)}
    assert {"hq-core - hq-r1", "hq-core - hq-r2", "hq-r1 - hq-r2", "hq-core - plant", "vpn-0 - hq-r1"} <= found


def test_a_router_relays_from_one_circuit_to_another_where_asked() -> None:
    """With its own prepends; and what came from a circuit does not go back to it."""
    to_c2, to_c3 = sent("hq-r2", "c2"), sent("hq-r2", "c3-0")
    assert path(to_c2, "10.2.0.0/16") == "65010-65010-12076"
    assert path(to_c3, "10.1.0.0/16") == "65010-12076"
    assert HUB not in to_c2
    assert FAR not in to_c3


def test_export_rules_filter_what_is_relayed() -> None:
    assert FAR not in sent("hq-r1", "c1")
    unfiltered = edited(("          - {to: c1, prefix: 10.2.0.0/16 or longer, deny: true}\n", ""))
    assert path(sent("hq-r1", "c1", unfiltered), "10.2.0.0/16") == "65010-12076", "by way of the other router"


def test_without_transit_nothing_of_a_circuit_gets_into_a_circuit() -> None:
    lab = edited(("{transit: true, prepend: {c2: 1}}", "{prepend: {c2: 1}}"), ("        transit: true\n", ""))
    for circuit in ("c2", "c3-0"):
        assert not {HUB, FAR} & sent("hq-r2", circuit, lab).keys()
    assert ways(lab, "vmfar", "vmhub")[0].startswith("delivered through erfar, c3-0, hq-r2"), "by its default route"


@pytest.mark.parametrize("several", [False, True])
def test_a_reflection_is_kept_out_of_the_circuit_whichever_paths_are_equal(several: bool) -> None:
    """FRR sends a path back to its sender where others are in the same update group."""
    speaker: CustomerSpeaker = routers(LAB, LAB.azure)["hq-r2"].speaker
    by = {session.neighbour.name: session for session in speaker.sessions}
    senders: tuple[Session, ...] = (by["c2"], by["c3-0"]) if several else (by["c2"],)
    best = Best(PathAttributes(addr("192.0.2.1"), (12076,)), senders)
    found = {name: decide.advertises(speaker, by[name], {HUB: best}, speaker.sessions) for name in ("c2", "c3-0")}
    assert [HUB in found[name] for name in ("c2", "c3-0")] == [False, True]


def test_ranges_inside_ranges() -> None:
    """A supernet leads to the router that announces it, which discards what nobody has; longer prefixes go on."""
    tables = PredictedTables(LAB, END.speakers, END.routers)
    found = {to: [*Walker(LAB, tables).walks("vmhub", addr(to))] for to in ("10.50.77.1", "10.50.9.1", "10.70.0.1")}
    assert {(walk.disposition, walk.nodes[-1]) for walk in found["10.50.77.1"]} == {(Disposition.BLACK_HOLE, "hq-r1")}
    assert {walk.nodes[-1] for walk in found["10.50.9.1"]} == {"plant"}
    assert {walk.nodes[-2:] for walk in found["10.70.0.1"]} == {("hq-core", "plant")}, "by its static route"


@pytest.mark.parametrize(
    ("machine", "through"),
    [
        ("vmhub", "erhub, c1, hq-r1"),
        ("vmfar", "erfar, c3-0, hq-r2, hq-r1"),
        ("vmstore", "vpn, plant"),
        ("vmisland", "vpn2, kiosk"),
    ],
)
def test_forced_tunnelling(machine: str, through: str) -> None:
    """The site's router sends it to the Internet, with its public address."""
    assert LAB.internet is not None
    (walk,) = {
        tuple(step.packet.source for step in walk.steps if isinstance(step, RouterStep) and step.translated)
        for walk in Walker(LAB, PredictedTables(LAB, END.speakers, END.routers)).walks(machine, LAB.internet.host)
    }
    assert len(walk) == 1
    assert walk[0] in LAB.internet.public.values()
    assert ways(LAB, machine, "internet") == [f"delivered through {through}"]


def test_without_a_way_to_the_internet_it_ends_at_the_site() -> None:
    lab = load_text(
        """
name: forced
virtual_networks:
  hub: {address_space: 10.1.0.0/16, subnets: {GatewaySubnet: 10.1.255.0/27, work: 10.1.1.0/24}}
gateways:
  er: {type: ExpressRoute, virtual_network: hub, connects_to: [c1]}
circuits:
  c1: {connects_to: [dc]}
sites:
  dc: {asn: 65010, prefixes: 10.50.1.0/24, advertises: 0.0.0.0/0}
internet: 198.51.100.0/24
virtual_machines:
  vm: hub/work
""",
        "forced",
    )
    assert ways(lab, "vm", "internet") == ["dropped at dc: black hole"]


def test_the_host_sends_by_its_default_gateway() -> None:
    by_both = [f"delivered through hq-core, {way}, erfar" for way in ("hq-r1, c3-1", "hq-r2, c3-0")]
    assert ways(LAB, "hq-host", "vmfar") == by_both
    lab = edited(
        ("    prefixes: [10.50.1.0/24, 10.50.2.0/24]\n", "    prefixes: 10.50.1.0/24\n    default_gateway: hq-r2\n")
    )
    assert ways(lab, "hq-host", "vmfar") == ["delivered through hq-r2, c3-0, erfar"]


TWO_OF_ONE_RANGE = """
name: one-range
internet: 198.51.100.0/24
virtual_networks:
  hub: {address_space: 10.1.0.0/16, subnets: {GatewaySubnet: 10.1.255.0/27, work: 10.1.10.0/24}}
gateways:
  vpn: {type: Vpn, virtual_network: hub, connects_to: [near, standby]}
sites:
  near: {asn: 65010, prefixes: 10.50.0.0/16}
  standby: {asn: 65010, prefixes: 10.50.0.0/16, router: 10.50.0.2, host: 10.50.0.20, prepend: {vpn: 2}}
virtual_machines:
  vm: hub/work
"""


def test_a_site_does_not_reach_what_another_one_of_the_same_range_has() -> None:
    lab = load_text(TWO_OF_ONE_RANGE, "one-range")
    assert ways(lab, "vm", "near-host") == ["delivered through vpn"]
    assert ways(lab, "vm", "standby-host") == ["dropped at near: no node has 10.50.0.20"]
