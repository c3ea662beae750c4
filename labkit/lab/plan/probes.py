"""By which NIC a machine answers the probes of load balancers. Pure."""

from __future__ import annotations

from labkit.azure.model import Nic
from labkit.azure.rules.addressing import PLATFORM_ADDRESS
from labkit.lab.model import Lab
from labkit.lab.plan.speakers import nva_routes


def answers_probes(lab: Lab, nic: Nic) -> bool:
    """Whether a machine answers probes of a NIC by that NIC, without which they fail [probe-answer-nic]."""
    machine, nics = nic.machine, lab.azure.nics_of(nic.machine)
    if len(nics) == 1 or machine in lab.policy_routed:
        return True
    leaves: Nic | None = nics[0]
    if machine in lab.nva:
        routes = (route for route in nva_routes(lab, lab.nva[machine]) if PLATFORM_ADDRESS in route.prefix)
        leaves = max(routes, key=lambda route: route.prefix.prefixlen).nic
    return leaves is not None and leaves.name == nic.name
