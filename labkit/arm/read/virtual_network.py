"""Virtual networks with their subnets and peerings."""

from __future__ import annotations

from labkit.arm.read.fields import Fields
from labkit.arm.read.reading import VIRTUAL_NETWORKS, LeftOut, Reading, subnet_prefixes
from labkit.lab.file.yaml_source import Data
from labkit.names import in_any_case


def virtual_networks(reading: Reading) -> dict[str, Data]:
    """The section `virtual_networks`."""
    found: dict[str, Data] = {}
    for name, resource, fields in reading.of_type("virtualNetworks"):
        space = [str(prefix) for prefix in fields.part("addressSpace").prefixes("addressPrefixes")]
        subnets: dict[str, Data] = {}
        for child in reading.bag.children_of(resource.id, "subnets"):
            prefixes = subnet_prefixes(Fields.of(child))
            if len(prefixes) != 1:
                reason = f"a lab's subnet has one IPv4 prefix, and this one has {len(prefixes)}"
                reading.leave_out(child.id, reason, "Only machines in its first prefix are in the lab.")
            if prefixes:
                table = Fields.of(child).reference("routeTable")
                used = reading.name(table) if table is not None else None
                prefix = str(prefixes[0])
                subnets[child.id.name] = prefix if used is None else {"prefix": prefix, "route_table": used}
        if not space:
            reading.leave_out(resource.id, "it has no IPv4 address space", "Nothing of it is in the lab.")
            continue
        entry: dict[str, Data] = {"address_space": _one_or_more(space)}
        found[name] = {**entry, "subnets": subnets} if subnets else entry
    return found


def peerings(reading: Reading) -> list[Data]:
    """The section `peerings`: both sides of each."""
    sides: dict[tuple[str, str], Fields] = {}
    for resource in reading.bag.of_type(f"{VIRTUAL_NETWORKS}/virtualNetworkPeerings"):
        fields = Fields.of(resource)
        remote_id = fields.required("remoteVirtualNetwork")
        local = reading.name(resource.id.parent) if resource.id.parent is not None else None
        remote = reading.name(remote_id)
        if local is None or remote is None:
            reading.leave_out(
                resource.id,
                f"its remote virtual network {remote_id.name} is not among the resources",
                "Nothing gets there, and no route of it is known.",
            )
        elif fields.values.get("peeringState") in {"Initiated", "Disconnected"}:
            _leave_out(reading, local, remote)
        else:
            sides[local, remote] = fields
    for local, remote in [*sides]:
        if (remote, local) not in sides:
            _leave_out(reading, local, remote)
            del sides[local, remote]
    return [
        _peering(reading, local, remote, sides)
        for local, remote in _in_order(reading, [pair for pair in sides if _first(pair, sides)])
    ]


def _leave_out(reading: Reading, local: str, remote: str) -> None:
    what = f"the peering of {local} with {remote}"
    reading.left_out.append(LeftOut(what, "it is not connected: its other side is missing", "None: it has no routes."))


def _first(pair: tuple[str, str], sides: dict[tuple[str, str], Fields]) -> bool:
    """Whether a side is the first of its peering."""
    order = list(sides)
    return order.index(pair) < order.index(pair[::-1])


def _in_order(reading: Reading, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """In the order, and each with the sides, of the lab's own file, where it has them."""
    known = [(b[0], b[1]) for e in _known(reading) if isinstance(b := e.get("between"), list) and len(b) == 2]
    named = [(str(one), str(other)) for one, other in known]
    there = {frozenset(pair) for pair in pairs}
    kept = [pair for pair in named if frozenset(pair) in there]
    return [*kept, *(pair for pair in pairs if frozenset(pair) not in {frozenset(k) for k in kept})]


def _known(reading: Reading) -> list[dict[str, Data]]:
    """The peerings of the lab's own file, their sides as the virtual networks are spelled."""
    entries = reading.beyond.get("peerings")
    networks = [name for name, _, _ in reading.of_type("virtualNetworks")]
    found: list[dict[str, Data]] = []
    for entry in entries if isinstance(entries, list) else []:
        between = entry.get("between") if isinstance(entry, dict) else None
        if isinstance(entry, dict) and isinstance(between, list):
            found.append({**entry, "between": [in_any_case(str(side), networks) or str(side) for side in between]})
    return found


def _peering(reading: Reading, local: str, remote: str, sides: dict[tuple[str, str], Fields]) -> dict[str, Data]:
    pair = {local: sides[local, remote], remote: sides[remote, local]}
    entry: dict[str, Data] = {"between": [local, remote]}
    for key, option, default in (
        ("use_remote_gateways", "useRemoteGateways", False),
        ("allow_gateway_transit", "allowGatewayTransit", False),
        ("allow_forwarded_traffic", "allowForwardedTraffic", True),
    ):
        # Left out it is false, as az and Terraform have it.
        on = [n for n, side in pair.items() if side.flag(option, False)]
        if len(on) == 2:
            value: Data = "true"
        else:
            value = on[0] if on else "false"
        if value != ("true" if default else "false"):
            entry[key] = value
    known = next(
        (e for e in _known(reading) if isinstance(b := e.get("between"), list) and set(map(str, b)) == set(pair)), None
    )
    if known is not None:
        if "global" in known:
            entry["global"] = known["global"]
    elif len({_location(reading, name) for name in pair}) > 1:
        entry["global"] = "true"
    return entry


def _location(reading: Reading, network: str) -> str:
    found = next(resource for name, resource, _ in reading.of_type("virtualNetworks") if name == network)
    return (found.location or "").replace(" ", "").casefold()


def _one_or_more(values: list[str]) -> Data:
    return values[0] if len(values) == 1 else list(values)
