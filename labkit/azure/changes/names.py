"""Names in changes, as the model writes them: Azure ignores case [azure-names], and nodes have handles as well."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace

from labkit.azure.changes.base import Change
from labkit.azure.model import Azure
from labkit.names import in_any_case, meant


def as_known(change: Change, azure: Azure) -> Change:
    """The change with the names of objects as the model has them; a name that it does not have stays as it is."""
    found: dict[str, str] = {}
    for field in fields(change):  # type: ignore[arg-type] # every change is a dataclass
        value = getattr(change, field.name)
        if field.name in _KNOWN and isinstance(value, str):
            find, known = _KNOWN[field.name]
            found[field.name] = find(value, known(azure, found)) or value
    return replace(change, **found)  # type: ignore[type-var]


def _subnets(azure: Azure, found: Mapping[str, str]) -> Iterable[str]:
    network = azure.virtual_network.get(found["virtual_network"])
    return [subnet.name for subnet in network.subnets] if network is not None else ()


def _peers(azure: Azure, found: Mapping[str, str]) -> Iterable[str]:
    server = azure.route_server.get(found["route_server"])
    return [peer.name for peer in server.peers] if server is not None else ()


def _authorizations(azure: Azure, found: Mapping[str, str]) -> Iterable[str]:
    circuit = azure.circuit.get(found.get("circuit") or found["remote"])
    return circuit.authorizations if circuit is not None else ()


_Find = Callable[[str, Iterable[str]], str | None]
_Known = Callable[[Azure, Mapping[str, str]], Iterable[str]]

_KNOWN: Mapping[str, tuple[_Find, _Known]] = {
    "route_server": (meant, lambda azure, _: azure.route_server),
    "name": (meant, _peers),
    "virtual_network": (meant, lambda azure, _: azure.virtual_network),
    "remote_virtual_network": (meant, lambda azure, _: azure.virtual_network),
    "subnet": (in_any_case, _subnets),
    "route_table": (in_any_case, lambda azure, _: azure.route_table),
    "nva": (meant, lambda azure, _: azure.appliance),
    "firewall": (meant, lambda azure, _: azure.firewall),
    "connection": (meant, lambda azure, _: [each.name for each in azure.connections]),
    "gateway": (meant, lambda azure, _: azure.gateway),
    "remote": (meant, lambda azure, _: (*azure.circuit, *azure.local_network_gateway, *azure.gateway)),
    "circuit": (meant, lambda azure, _: azure.circuit),
    "authorization": (in_any_case, _authorizations),
    "nic": (meant, lambda azure, _: azure.nic),
}
"""By fields of changes: how the name is found among which, given the names in fields before it."""
