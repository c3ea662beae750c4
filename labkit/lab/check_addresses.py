"""The addresses that a lab file gives: inside their range, not reserved, not given twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.rules.addressing import (
    GATEWAY_SUBNET,
    ROUTE_SERVER_SUBNET,
    SUBNET_LONGEST,
    is_usable,
    reserved_addresses,
)
from labkit.lab.draft import Draft, subject
from labkit.lab.file.schema import machines
from labkit.lab.file.yaml_source import Path
from labkit.lab.plan.wires import FABRIC_MAC


@dataclass(frozen=True, slots=True)
class _Given:
    """An address that the file gives, whose it is, and the range that it must lie in.

    `azure` says whether Azure's reserved addresses count; `within` is None where the range is not known.
    """

    address: IPv4Address
    whose: str
    path: Path
    within: IPv4Network | None
    where: str
    azure: bool = False


def check_addresses(draft: Draft) -> None:
    """Notes given addresses and MACs that can't be."""
    taken: dict[IPv4Address, _Given] = {}
    for given in _given(draft):
        _check_place(draft, given)
        other = taken.setdefault(given.address, given)
        if other is not given:
            first = f"{other.whose} (line {draft.line(other.path)})"
            text = f"{given.whose}: address {given.address} is also given to {first}."
            draft.error(given.path, text, "Change one, or omit one: labkit chooses a free one.")
    _check_macs(draft)


def _given(draft: Draft) -> Iterator[_Given]:
    file = draft.file
    for name, server in file.route_servers.items():
        found = draft.subnet(f"{server.virtual_network}/{ROUTE_SERVER_SUBNET}")
        where = f"{ROUTE_SERVER_SUBNET} of {server.virtual_network}"
        for i, instance in enumerate(server.instances or ()):
            whose = f"instance {i} of route server {name}"
            path: Path = ("route_servers", name, "instances", i)
            yield _Given(instance, whose, path, found[2].prefix if found else None, where, azure=True)
    for name, gateway in file.gateways.items():
        found = draft.subnet(f"{gateway.virtual_network}/{GATEWAY_SUBNET}")
        where = f"{GATEWAY_SUBNET} of {gateway.virtual_network}"
        for i, instance in enumerate(gateway.instances):
            whose = f"instance {i} of gateway {name}"
            path = ("gateways", name, "instances", i)
            yield _Given(instance, whose, path, found[2].prefix if found else None, where, azure=True)
        for i, connection in enumerate(gateway.connects_to):
            for circuit, options in connection.items():
                for j, edge in enumerate(options.edges if options is not None else ()):
                    path = ("gateways", name, "connects_to", i, circuit, "edges", j)
                    yield _Given(edge, f"edge of {subject(path)[0]}", path, None, "")
    for name, machine in machines(file).items():
        place: Path = ("nvas" if name in file.nvas else "virtual_machines", name)
        found = draft.subnet(machine.subnet)
        if machine.address is not None:
            where = f"subnet {machine.subnet}"
            prefix = found[2].prefix if found else None
            yield _Given(machine.address, subject(place)[0], (*place, "address"), prefix, where, azure=True)
    for name, balancer in file.load_balancers.items():
        found = draft.subnet(balancer.subnet)
        if balancer.address is not None:
            path, where = ("load_balancers", name, "address"), f"subnet {balancer.subnet}"
            whose = f"frontend of load balancer {name}"
            yield _Given(balancer.address, whose, path, found[2].prefix if found else None, where, azure=True)
    for name, site in file.sites.items():
        for key, address in (("router", site.router), ("host", site.host)):
            if address is not None:
                broken = draft.broken(("sites", name, "prefixes"))
                whose, within = f"{key} of site {name}", None if broken else site.prefixes[0]
                yield _Given(address, whose, ("sites", name, key), within, "the site's first prefix")
    if file.internet is not None and file.internet.host is not None:
        yield _Given(
            file.internet.host, "host of the internet", ("internet", "host"), file.internet.prefix, "its prefix"
        )


def _check_place(draft: Draft, given: _Given) -> None:
    prefix, address = given.within, given.address
    if prefix is None or (given.azure and prefix.prefixlen > SUBNET_LONGEST):
        return
    if address not in prefix:
        text = f"{given.whose}: address {address} lies outside {given.where} ({prefix})."
        draft.error(given.path, text, f"Use an address of {prefix}, or omit it.")
    elif given.azure and not is_usable(prefix, address):
        reserved = reserved_addresses(prefix)
        text = f"{given.whose}: address {address} is reserved in {given.where} ({prefix})."
        remedy = f"Azure keeps the first four and the last. Use {reserved[3] + 1} to {reserved[-1] - 1}."
        draft.error(given.path, text, remedy)
    elif prefix.prefixlen < 31 and address in {prefix.network_address, prefix.broadcast_address}:
        text = f"{given.whose}: address {address} is the first or the last of {given.where} ({prefix})."
        draft.error(given.path, text, "No host can have it. Use one in between.")


def _check_macs(draft: Draft) -> None:
    taken: dict[str, str] = {}
    for name, machine in machines(draft.file).items():
        path: Path = ("nvas" if name in draft.file.nvas else "virtual_machines", name, "mac")
        about = subject(path)[0]
        if machine.mac is None:
            continue
        other = taken.setdefault(machine.mac, about)
        if other != about:
            text = f"{about}: MAC address {machine.mac} is also given to {other}."
            draft.error(path, text, "Change one, or omit one: labkit derives it from the name.")
        elif machine.mac == FABRIC_MAC:
            text = f"{about}: MAC address {machine.mac} is Azure's own, which answers every ARP question."
            draft.error(path, text, "Use another, or omit it: labkit derives one from the name.")
