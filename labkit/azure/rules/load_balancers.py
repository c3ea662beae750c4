"""Internal load balancers as next hops [balancer-cure, third-party-next-hop].

Effective routes and their reachability know a frontend's address and no more: it is like any other address of its
virtual network. Which backends stand behind it is the fabric's business.
"""

from __future__ import annotations

from collections.abc import Iterator

from labkit.azure.model import Azure, LoadBalancer
from labkit.azure.model.problem import Code, Problem
from labkit.azure.rules.adjacency import connected_peerings

SHORTEST_INTERVAL = 5
"""Seconds: Azure probes no more often [tcp-probe]."""


def load_balancers_near(azure: Azure, virtual_network: str) -> tuple[LoadBalancer, ...]:
    """The load balancers that may be the next hop of a virtual network's NICs: its own, then its direct peers'.

    The same reach as any next hop has [none-next-hop].
    """
    near = (virtual_network, *(peering.remote for peering in connected_peerings(azure, virtual_network)))
    return tuple(b for network in near for b in azure.load_balancers if b.virtual_network == network)


def load_balancer_problems(azure: Azure) -> Iterator[Problem]:
    """What Azure refuses of load balancers.

    A pool of NICs is in one virtual network, and two rules with the same ports, here all, can't have the same backend.
    """
    member: dict[str, str] = {}
    for balancer in azure.load_balancers:
        for backend in dict.fromkeys(balancer.backends):
            there = azure.nic[backend].virtual_network
            if there != balancer.virtual_network:
                text = f"{backend} is in virtual network {there}, the frontend in {balancer.virtual_network}"
                yield Problem(Code.BACKEND_ELSEWHERE, text, (balancer.name, backend))
            other = member.setdefault(backend, balancer.name)
            if other != balancer.name:
                text = f"{backend} is already behind the internal load balancer {other}"
                yield Problem(Code.BACKEND_TWICE, text, (balancer.name, backend))


def load_balancer_warnings(azure: Azure) -> Iterator[Problem]:
    """What works here and not in Azure: probes that come more often than Azure's."""
    for balancer in azure.load_balancers:
        interval = balancer.probe.interval
        if interval < SHORTEST_INTERVAL:
            text = f"a probe interval of {interval} s is shorter than Azure allows ({SHORTEST_INTERVAL} s)"
            yield Problem(Code.PROBE_INTERVAL, text, (balancer.name,))
