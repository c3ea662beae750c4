"""Virtual machines and NVAs, by their network interfaces."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from labkit.arm.ids import ResourceId
from labkit.arm.read.fields import Fields
from labkit.arm.read.reading import Reading
from labkit.lab.file.yaml_source import Data


@dataclass(frozen=True, slots=True)
class ReadNic:
    """A NIC of a machine: its own name there, its subnet and addresses, the primary one first."""

    id: ResourceId
    name: str
    network: str
    subnet: str
    addresses: tuple[IPv4Address, ...]
    ip_forwarding: bool


Machines = dict[str, list[ReadNic]]
"""The NICs of machines by their names, the primary one first."""


def machines(reading: Reading) -> Machines:
    """The machines that have NICs in subnets of the lab."""
    order = {r.id: n for n, r in enumerate(reading.bag.of_type("Microsoft.Compute/virtualMachines"))}
    found: dict[ResourceId, list[tuple[bool, ReadNic]]] = {}
    for _, resource, fields in reading.of_type("networkInterfaces"):
        machine = fields.reference("virtualMachine")
        if machine is None:
            reading.leave_out(resource.id, "no virtual machine has it", "It has no routes: nothing uses them.")
            continue
        nic = _nic(reading, resource.id, machine.name, fields)
        if nic is None:
            reading.leave_out(resource.id, "its subnet is not among the resources", "Its machine is not in the lab.")
        else:
            found.setdefault(machine, []).append((fields.flag("primary", False), nic))
    names: Machines = {}
    for machine in sorted(found, key=lambda id_: order.get(id_, len(order))):
        name = machine.name if machine.name not in names else f"{machine.name}-{machine.group}"
        names[name] = [nic for _, nic in sorted(found[machine], key=lambda pair: not pair[0])]
    return names


def _nic(reading: Reading, id_: ResourceId, machine: str, fields: Fields) -> ReadNic | None:
    configurations = sorted(fields.parts("ipConfigurations"), key=lambda part: not part.flag("primary", False))
    place = reading.subnet(configurations[0].required("subnet")) if configurations else None
    if place is None:
        return None
    addresses = tuple(part.address("privateIPAddress") for part in configurations if part.has("privateIPAddress"))
    name = id_.name.removeprefix(f"{machine}__")
    return ReadNic(id_, name, *place, addresses, fields.flag("enableIPForwarding", False))


def entry(nics: list[ReadNic], known: dict[str, Data], forwards: bool) -> dict[str, Data]:
    """A machine's own keys; `forwards` is whether its kind forwards by default."""
    if len(nics) == 1 and "nics" not in known:
        return _keys(nics[0], forwards)
    of_nics = known.get("nics")
    kept = of_nics if isinstance(of_nics, dict) else {}
    by_name = {nic.name: nic for nic in nics}
    names = [*(name for name in kept if name in by_name), *(name for name in by_name if name not in kept)]
    made: dict[str, Data] = {}
    for name in names:
        own = kept.get(name)
        made[name] = {**_keys(by_name[name], forwards), **(own if isinstance(own, dict) else {})}
    return {"nics": made}


def _keys(nic: ReadNic, forwards: bool) -> dict[str, Data]:
    keys: dict[str, Data] = {"subnet": f"{nic.network}/{nic.subnet}"}
    if len(nic.addresses) > 1:
        keys["addresses"] = [str(address) for address in nic.addresses]
    elif nic.addresses:
        keys["address"] = str(nic.addresses[0])
    if nic.ip_forwarding != forwards:
        keys["ip_forwarding"] = "true" if nic.ip_forwarding else "false"
    return keys


def virtual_machines(reading: Reading, all_machines: Machines, nvas: dict[str, Data]) -> dict[str, Data]:
    """The section `virtual_machines`: the machines that are no NVAs."""
    found: dict[str, Data] = {}
    for name, nics in all_machines.items():
        if name not in nvas:
            known = reading.known("virtual_machines", name)
            keys = {**{k: v for k, v in known.items() if k != "nics"}, **entry(nics, known, forwards=False)}
            found[name] = str(keys["subnet"]) if set(keys) == {"subnet"} else keys
    return found
