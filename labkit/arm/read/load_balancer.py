"""Internal load balancers."""

from __future__ import annotations

from labkit.arm.read.fields import Fields
from labkit.arm.read.machine import Machines
from labkit.arm.read.reading import Reading
from labkit.lab.file.yaml_source import Data


def load_balancers(reading: Reading, machines: Machines) -> dict[str, Data]:
    """The section `load_balancers`: those with a private frontend, machines behind it, and a TCP probe."""
    found: dict[str, Data] = {}
    for name, resource, fields in reading.of_type("loadBalancers"):
        frontend = next((part for part in fields.parts("frontendIPConfigurations") if part.has("subnet")), None)
        place = reading.subnet(frontend.required("subnet")) if frontend is not None else None
        backends = _backends(reading, name, machines)
        probe = next((part for part in fields.parts("probes") if part.has("port")), None)
        if frontend is None or place is None or not backends or probe is None:
            lacks = "an internal frontend" if place is None else "machines behind it" if not backends else "a probe"
            reading.leave_out(resource.id, f"it lacks {lacks}", "Routes to its address lead nowhere in the lab.")
            continue
        keys: dict[str, Data] = {"port": str(probe.number("port"))}
        if probe.number("intervalInSeconds", 5) != 5:
            keys["interval"] = str(probe.number("intervalInSeconds"))
        if probe.number("numberOfProbes", 2) != 2:
            keys["count"] = str(probe.number("numberOfProbes"))
        found[name] = {
            "subnet": "/".join(place),
            "address": str(frontend.address("privateIPAddress")),
            "backends": backends,
            "probe": keys,
        }
    return found


def _backends(reading: Reading, balancer: str, machines: Machines) -> list[Data]:
    """The machines, or NICs of theirs, whose ipConfigurations are in a pool of a load balancer."""
    found: dict[str, Data] = {}
    for name, nics in machines.items():
        for number, nic in enumerate(nics):
            for part in Fields.of(reading.bag[nic.id]).parts("ipConfigurations"):
                pools = [pool.text("id").split("/") for pool in part.parts("loadBalancerBackendAddressPools")]
                if any(len(pool) > 3 and pool[-3].casefold() == balancer.casefold() for pool in pools):
                    found[name if number == 0 else f"{name}/{nic.name}"] = None
    return list(found)
