"""Azure Firewalls, with their classic network rules."""

from __future__ import annotations

from labkit.arm.read.fields import Fields
from labkit.arm.read.reading import Reading
from labkit.lab.file.yaml_source import Data

_ANY = {"*", "any", "0.0.0.0/0"}


def firewalls(reading: Reading) -> dict[str, Data]:
    """The section `firewalls`."""
    found: dict[str, Data] = {}
    for name, resource, fields in reading.of_type("azureFirewalls"):
        part = next((part for part in fields.parts("ipConfigurations") if part.has("subnet")), None)
        place = reading.subnet(part.required("subnet")) if part is not None else None
        if part is None or place is None:
            reading.leave_out(resource.id, "its subnet is not among the resources", "Routes to it lead nowhere.")
            continue
        if fields.has("firewallPolicy"):
            reading.remarks["firewalls", name] = "The rules of its firewall policy are not in it: it denies everything."
        keys: dict[str, Data] = {"virtual_network": place[0]}
        if part.has("privateIPAddress"):
            keys["address"] = str(part.address("privateIPAddress"))
        keys |= reading.known("firewalls", name)
        collections = sorted(fields.parts("networkRuleCollections"), key=lambda each: each.number("priority", 0))
        rules: list[Data] = [_rule(c, rule) for c in collections for rule in c.parts("rules")]
        found[name] = {**keys, "rules": rules} if rules else keys
    return found


def _rule(collection: Fields, rule: Fields) -> dict[str, Data]:
    keys: dict[str, Data] = {"action": collection.part("action").text("type")}
    for key, name in (
        ("sourceAddresses", "sources"),
        ("destinationAddresses", "destinations"),
        ("protocols", "protocols"),
        ("destinationPorts", "ports"),
    ):
        values = rule.texts(key)
        if values and not any(value.casefold() in _ANY for value in values):
            keys[name] = values[0] if len(values) == 1 else list(values)
    return keys
