"""Shell completion: labs from their records, nodes and Azure's objects from the files of the running lab.

A completion that finds nothing, or nothing readable, offers nothing: it must not disturb the line being typed.
"""

from __future__ import annotations

from typing import Any

import typer
import yaml

from labkit.errors import LabkitError
from labkit.operate.records import record as records
from labkit.resources import topologies


def labs() -> list[str]:
    """The labs on this machine."""
    return [record.lab for record in records.everything()]


def lab_files() -> list[str]:
    """The labs that come with labkit; the shell itself adds files."""
    return sorted(path.parent.name for path in topologies().glob("*/lab.yml"))


def variants(ctx: typer.Context) -> list[str]:
    """The variants of the lab file that the line names."""
    from labkit.lab.file.variants import variant_names  # noqa: PLC0415 - every verb loads this module, few complete
    from labkit.lab.file.yaml_source import parse  # noqa: PLC0415
    from labkit.lab.load import file_text  # noqa: PLC0415
    from labkit.operate.records.lab_files import find_lab_file  # noqa: PLC0415

    # An option that still lacks its value keeps the parser from naming the arguments.
    lab = ctx.params.get("lab") or next(iter(ctx.args), "")
    try:
        return variant_names(parse(file_text(find_lab_file(str(lab)))))
    except LabkitError:
        return []


def labs_and_files() -> list[str]:
    """The labs on this machine and those that come with labkit."""
    return sorted({*labs(), *lab_files()})


def nodes(ctx: typer.Context) -> list[str]:
    """The nodes of the running lab."""
    return list(_nodes(ctx))


def own_nics(ctx: typer.Context) -> list[str]:
    """The NICs of NVAs and virtual machines."""
    found: list[str] = []
    for section in ("nvas", "virtual_machines"):
        machines = _read(ctx, "lab_file", section)
        for machine in machines:
            found += [f"{machine}/{nic}" for nic in _under(machines, machine, "nics")] or [machine]
    return found


def nics(ctx: typer.Context) -> list[str]:
    """Everything with a NIC in a virtual network, and the NICs of machines with several."""
    running = _nodes(ctx)
    return [*own_nics(ctx), *(n for name in gateways(ctx) for n in _instances(name) if n in running)]


def route_servers(ctx: typer.Context) -> list[str]:
    """The route servers of the running lab."""
    return list(_read(ctx, "lab_file", "route_servers"))


def peers(ctx: typer.Context) -> list[str]:
    """The peers of the route server that the line names."""
    server = str(ctx.params.get("route_server"))
    network = _value(ctx, "lab_file", "route_servers", server, "virtual_network")
    configured = _names(_value(ctx, "lab_file", "route_servers", server, "peers"))
    found = _in_network(ctx, "gateways", network)
    running = _nodes(ctx)
    return [*configured, *(n for name in found for n in _instances(name) if n in running)]


def gateways(ctx: typer.Context) -> list[str]:
    """The gateways of the running lab."""
    return list(_read(ctx, "lab_file", "gateways"))


def circuits(ctx: typer.Context) -> list[str]:
    """The circuits of the running lab."""
    return list(_read(ctx, "lab_file", "circuits"))


def neighbours(ctx: typer.Context) -> list[str]:
    """The possible BGP neighbours of the gateway that the line names: outside Azure, and its route server."""
    gateway = str(ctx.params.get("gateway"))
    outside = _names(_value(ctx, "lab_file", "gateways", gateway, "connects_to"))
    network = _value(ctx, "lab_file", "gateways", gateway, "virtual_network")
    return [*outside, *(n for name in _in_network(ctx, "route_servers", network) for n in _instances(name))]


def virtual_networks(ctx: typer.Context) -> list[str]:
    """The virtual networks of the running lab."""
    return list(_read(ctx, "lab_file", "virtual_networks"))


def firewalls(ctx: typer.Context) -> list[str]:
    """The firewalls of the running lab."""
    return list(_read(ctx, "lab_file", "firewalls"))


def subnets(ctx: typer.Context) -> list[str]:
    """The subnets of the running lab, each as `network/subnet`."""
    networks = _read(ctx, "lab_file", "virtual_networks")
    return [f"{name}/{subnet}" for name in networks for subnet in _under(networks, name, "subnets")]


def nvas(ctx: typer.Context) -> list[str]:
    """The NVAs of the running lab."""
    return list(_read(ctx, "lab_file", "nvas"))


def route_tables(ctx: typer.Context) -> list[str]:
    """The route tables of the running lab."""
    return list(_read(ctx, "lab_file", "route_tables"))


def _in_network(ctx: typer.Context, kind: str, network: object) -> list[str]:
    """The gateways or route servers of the lab that are in a virtual network."""
    found = _read(ctx, "lab_file", kind)
    return [name for name in found if network and _value(ctx, "lab_file", kind, name, "virtual_network") == network]


def _names(found: object) -> list[str]:
    """The names in a list whose items are names, or mappings by name."""
    each = found if isinstance(found, list) else [found] if found else []
    return [str(name) for item in each for name in (item if isinstance(item, dict) else [item])]


def _nodes(ctx: typer.Context) -> list[str]:
    """The names of the nodes of the running lab, where the topology has handles."""
    found = _read(ctx, "topology", "topology", "nodes")
    return [str(_at(found, node, "labels", "labkit-name") or node) for node in found]


def _instances(name: str) -> list[str]:
    from labkit.azure.model import InstanceId  # noqa: PLC0415 - every verb loads this module, few complete
    from labkit.lab.plan.nodes import INSTANCES  # noqa: PLC0415

    return [InstanceId(name, index).node for index in INSTANCES]


def _read(ctx: typer.Context, which: str, *keys: str) -> Any:
    """The value under `keys` in a file of the lab; an empty list if there is none."""
    return _listed(_value(ctx, which, *keys))


def _value(ctx: typer.Context, which: str, *keys: str) -> Any:
    try:
        record = records.choose(ctx.params.get("lab"), records.everything())
        file = record.topology if which == "topology" else record.folder / "lab.yml"
        found: Any = yaml.safe_load(file.read_text())
    except (LabkitError, OSError, ValueError, yaml.YAMLError):
        return None
    return _at(found, *keys)


def _under(found: Any, *keys: str) -> Any:
    return _listed(_at(found, *keys))


def _at(found: Any, *keys: str) -> Any:
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _listed(found: Any) -> Any:
    return found if isinstance(found, dict | list) else []
