"""What an operator changed in the running lab, kept in a file so that a restart keeps it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from labkit.azure.model import Azure, HubRoutingPreference, RouteServer, RouteTable
from labkit.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What can be changed of a route server while it runs (`az network routeserver update`)."""

    branch_to_branch: bool
    hub_routing_preference: HubRoutingPreference


@dataclass(frozen=True, slots=True)
class Kept:
    """Route tables, and route servers' settings by name."""

    route_tables: tuple[RouteTable, ...] = ()
    route_servers: Mapping[str, ServerSettings] = field(default_factory=dict)


def parse_settings(server: RouteServer, said: Any) -> ServerSettings:
    """A route server's settings with what an operator says of them, under Azure's names.

    Raises:
        InvalidInput: nothing is said, or something that can't be.
    """
    names = {"allowBranchToBranchTraffic", "hubRoutingPreference"}
    if not isinstance(said, dict) or not said or said.keys() - names:
        raise InvalidInput("these are no settings of a route server.", f"They are: {', '.join(sorted(names))}.")
    switch = said.get("allowBranchToBranchTraffic", server.branch_to_branch)
    preference = said.get("hubRoutingPreference", str(server.hub_routing_preference))
    if not isinstance(switch, bool):
        raise InvalidInput("branch-to-branch is either on or off.", "Say true or false.")
    if preference not in tuple(HubRoutingPreference):
        choices = ", ".join(HubRoutingPreference)
        raise InvalidInput(f"{preference} is no hub routing preference.", f"They are: {choices}.")
    return ServerSettings(switch, HubRoutingPreference(preference))


def changes(before: RouteServer, after: RouteServer) -> Iterator[str]:
    """What differs in the settings of a route server, in words."""
    if before.branch_to_branch != after.branch_to_branch:
        yield f"branch-to-branch {'on' if after.branch_to_branch else 'off'}"
    if before.hub_routing_preference != after.hub_routing_preference:
        yield f"hub routing preference {after.hub_routing_preference}"


_KEPT: TypeAdapter[Kept] = TypeAdapter(Kept)


def kept(azure: Azure) -> Kept:
    """What is to be kept of a model."""
    return Kept(
        azure.route_tables,
        {s.name: ServerSettings(s.branch_to_branch, s.hub_routing_preference) for s in azure.route_servers},
    )


def load(path: Path) -> Kept:
    """What was saved at `path`; nothing if nothing was."""
    try:
        return _KEPT.validate_json(path.read_bytes())
    except FileNotFoundError:
        return Kept()


def save(path: Path, what: Kept) -> None:
    """Write it so that a crash leaves either the old file or the new one."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        file.write(_KEPT.dump_json(what))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
