"""Load balancers: what Azure refuses of them, and whose next hop they may be."""

from __future__ import annotations

from dataclasses import replace

from labkit.azure.model import Azure, LoadBalancer, Nic, Probe
from labkit.azure.rules.load_balancers import load_balancers_near
from labkit.azure.rules.validation import Code, problems, warnings

from .builders import addr, azure, network, peered

NICS = tuple(
    Nic(name, name, "eth0", name[:3], "default", addr(address), f"00:0d:3a:00:00:{i:02x}", ip_forwarding=True)
    for i, (name, address) in enumerate({"hub1": "10.1.1.4", "hub2": "10.1.1.5", "spo1": "10.2.1.4"}.items())
)


def balancer(name: str, *backends: str, where: str = "hub", interval: int = 5) -> LoadBalancer:
    return LoadBalancer(name, where, "default", addr("10.1.1.100"), backends, Probe(179, interval))


def lab(*balancers: LoadBalancer) -> Azure:
    networks = [network("hub", "10.1.0.0/16"), network("spo", "10.2.0.0/16"), network("far", "10.3.0.0/16")]
    made = azure(networks, peered("spo", "hub"), peered("far", "spo"))
    return replace(made, nics=NICS, load_balancers=balancers)


def codes(made: Azure) -> list[Code]:
    return [p.code for p in problems(made)]


def test_a_pool_spans_one_virtual_network() -> None:
    assert codes(lab(balancer("lb1", "hub1", "hub2"))) == []
    (problem,) = problems(lab(balancer("lb1", "hub1", "spo1")))
    assert (problem.code, problem.subjects) == (Code.BACKEND_ELSEWHERE, ("lb1", "spo1"))
    assert problem.text == "spo1 is in virtual network spo, the frontend in hub"


def test_two_rules_for_all_ports_share_no_backend() -> None:
    (problem,) = problems(lab(balancer("lb1", "hub1"), balancer("lb2", "hub2", "hub1")))
    assert (problem.code, problem.subjects) == (Code.BACKEND_TWICE, ("lb2", "hub1"))
    assert problem.text == "hub1 is already behind the internal load balancer lb1"


def test_a_name_given_twice_is_the_lab_files_to_refuse() -> None:
    assert codes(lab(balancer("lb1", "hub1", "hub1"))) == []


def test_probes_that_come_more_often_than_azures() -> None:
    made = lab(balancer("lb1", "hub1", interval=4), balancer("lb2", "hub2"))
    assert [(p.code, p.subjects) for p in warnings(made)] == [(Code.PROBE_INTERVAL, ("lb1",))]


def test_they_reach_as_far_as_any_next_hop() -> None:
    made = lab(balancer("lb1", "hub1"))
    assert {v: [b.name for b in load_balancers_near(made, v)] for v in made.virtual_network} == {
        "hub": ["lb1"],
        "spo": ["lb1"],
        "far": [],
    }
