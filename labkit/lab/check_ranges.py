"""The ranges in a lab file: which may be used, and which may not overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from itertools import combinations

from labkit.azure.rules.addressing import (
    LARGEST_SPACE,
    ROUTE_SERVER_SUBNET,
    ROUTE_SERVER_SUBNET_ADVISED,
    SUBNET_LONGEST,
    forbidden_address_space,
    wrong_size,
)
from labkit.lab.addressing import WAN_LENGTH
from labkit.lab.draft import Draft, subject
from labkit.lab.file.schema import VirtualNetwork
from labkit.lab.file.yaml_source import Path

_NOT_HOSTS = (IPv4Network("0.0.0.0/8"), IPv4Network("127.0.0.0/8"), IPv4Network("224.0.0.0/3"))


@dataclass(frozen=True, slots=True)
class _Range:
    """A range, what has it in words, and where that stands."""

    prefix: IPv4Network
    what: str
    path: Path


def check_ranges(draft: Draft) -> None:
    """Notes ranges that nobody may use, that do not fit where they are, or that overlap."""
    networks: list[_Range] = []
    for name, network in draft.file.virtual_networks.items():
        networks += _check_network(draft, name, network)
    outside = _outside(draft)
    for item in outside:
        bad = next((n for n in _NOT_HOSTS if n.overlaps(item.prefix)), None)
        if bad is not None:
            draft.error(item.path, f"{item.what}: hosts can't have addresses in {bad}.", "Use another range.")
    _overlaps(draft, outside)
    for ours in outside:
        for theirs in networks:
            if ours.prefix.overlaps(theirs.prefix):
                _overlap_with_network(draft, ours, theirs)


def _check_network(draft: Draft, name: str, network: VirtualNetwork) -> list[_Range]:
    about = f"virtual network {name}"
    place: Path = ("virtual_networks", name, "address_space")
    found = [_Range(p, about, (*place, i)) for i, p in enumerate(network.address_space)]
    for item in found:
        forbidden = forbidden_address_space(item.prefix)
        size = wrong_size(item.prefix)
        if size is not None:
            draft.error(
                item.path,
                f"{about}: {item.prefix} is too {size}.",
                f"Azure accepts /{LARGEST_SPACE} to /{SUBNET_LONGEST}.",
            )
        elif forbidden is not None:
            text = f"{about}: no virtual network can have addresses in {forbidden}."
            draft.error(item.path, text, "Azure refuses it. Use a private range, such as 10.1.0.0/16.")
    subnets = [
        _Range(s.prefix, f'subnet "{n}"', ("virtual_networks", name, "subnets", n)) for n, s in network.subnets.items()
    ]
    for item in subnets:
        _check_subnet(draft, name, network, item)
    for one, other in combinations(subnets, 2):
        if one.prefix.overlaps(other.prefix):
            text = f"{other.what} {other.prefix} of {about} overlaps {one.what} {one.prefix}."
            draft.error(other.path, text, "Azure refuses it. Move or shrink one of them.")
    return found


def _check_subnet(draft: Draft, name: str, network: VirtualNetwork, subnet: _Range) -> None:
    prefix, about = subnet.prefix, f"{subnet.what} {subnet.prefix}"
    space = network.address_space
    if not any(prefix.subnet_of(s) for s in space) and not draft.broken(("virtual_networks", name, "address_space")):
        text = f"{about} lies outside virtual network {name} ({', '.join(map(str, space))})."
        draft.error(subnet.path, text, "Widen address_space or move the subnet.")
    if subnet.path[-1] == ROUTE_SERVER_SUBNET and prefix.prefixlen > draft.file.assumptions.route_server_subnet_minimum:
        text = f"{about} of virtual network {name} is too small for a route server."
        draft.error(subnet.path, text, f"Azure refuses it. Make it a /{ROUTE_SERVER_SUBNET_ADVISED}.")
    elif subnet.path[-1] == ROUTE_SERVER_SUBNET and prefix.prefixlen > ROUTE_SERVER_SUBNET_ADVISED:
        text = f"{about} of virtual network {name} is smaller than Azure requires today."
        draft.warn(subnet.path, text, f"Older route servers live in one; make it a /{ROUTE_SERVER_SUBNET_ADVISED}.")
    elif prefix.prefixlen > SUBNET_LONGEST:
        text = f"{about} of virtual network {name} is too small."
        draft.error(subnet.path, text, f"Azure keeps five addresses of each. Make it a /{SUBNET_LONGEST} or larger.")


def _outside(draft: Draft) -> list[_Range]:
    """The ranges outside Azure: sites, links to them, the Internet."""
    file = draft.file
    found = [
        _Range(p, f"site {name}", ("sites", name, "prefixes", i))
        for name, site in file.sites.items()
        for i, p in enumerate(site.prefixes)
    ]
    for section, name, key, connections in file.links():
        for i, connection in enumerate(connections):
            for site_name, options in connection.items():
                if options is None:
                    continue
                path: Path = (section, name, key, i, site_name)
                about = subject(path)[0]
                found.append(_Range(options.prefix, about, path))
                if options.prefix.prefixlen not in {WAN_LENGTH, WAN_LENGTH + 1}:
                    text = f"{about}: {options.prefix} is not a link's range."
                    draft.error(path, text, f"Make it a /{WAN_LENGTH} or /{WAN_LENGTH + 1}: a link has two ends.")
    if file.internet is not None:
        found.append(_Range(file.internet.prefix, "internet", ("internet",)))
        if file.internet.prefix.is_private and not _is_documentation(file.internet.prefix):
            text = f"internet: {file.internet.prefix} is a private range."
            draft.warn(
                ("internet",), text, "Azure drops packets to it unless a route says otherwise. Use 198.51.100.0/24."
            )
    return found


def _is_documentation(prefix: IPv4Network) -> bool:
    known = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
    return any(prefix.subnet_of(IPv4Network(n)) for n in known)


def _overlaps(draft: Draft, outside: Sequence[_Range]) -> None:
    for one, other in combinations(outside, 2):
        # Two sites may have the same range, as anycast and dual-homed data centres do.
        sites = one.path[0] == other.path[0] == "sites" and one.path[1] != other.path[1]
        if one.prefix.overlaps(other.prefix) and not sites:
            text = f"{other.what}: {other.prefix} overlaps {one.prefix} of {one.what}."
            draft.error(other.path, text, "Each needs a range of its own: move one of them.")


def _overlap_with_network(draft: Draft, ours: _Range, theirs: _Range) -> None:
    text = f"{ours.what}: {ours.prefix} overlaps {theirs.prefix} of {theirs.what}."
    if ours.path[0] == "sites":
        # Possible in Azure too, and a lesson: routes into a virtual network's own range never get into NICs.
        draft.warn(ours.path, text, "Azure's packets to what is in both stay in the virtual network. Move one of them.")
    else:
        draft.error(ours.path, text, "It could not be reached from there: move one of them.")
