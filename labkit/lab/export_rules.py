"""Export rules in the words of a lab file, for those who change an NVA's export policy while the lab runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address

from pydantic import ValidationError

from labkit.azure import model
from labkit.azure.changes.appliances import appliance_of
from labkit.azure.model import Azure
from labkit.errors import InvalidInput
from labkit.lab.file.yaml_source import parse
from labkit.lab.kinds.export_rules import NEXT_HOP_UNCHANGED, ExportRule, export_rules
from labkit.lab.kinds.route_table import address_of
from labkit.lab.model import Lab
from labkit.lab.plan.speakers import nva_speaker
from labkit.names import meant

EXAMPLE = "'{to: rs1, prefix: 10.1.0.0/16, set: {prepend: 2}}'"


def rules_of(lab: Lab, azure: Azure, nva: str, texts: Iterable[str]) -> Iterator[model.ExportRule]:
    """The rules that texts are, each as in the `exports` of a lab file, for an NVA of a running lab.

    Raises:
        InvalidInput: a text is not a rule, or it names what is not there.
    """
    peers = {n.peer for n in nva_speaker(lab, lab.nva[nva], appliance_of(azure, nva)).neighbours}

    def address(name: str | None) -> IPv4Address | None:
        if name is None:
            return None
        known = meant(name, (*azure.nic, *(nic.machine for nic in azure.nics), *azure.load_balancer)) or name
        named = azure.nic.get(known) or next(iter(azure.nics_of(known)), None) or azure.load_balancer.get(known)
        found = named.address if named is not None else address_of(name)
        if found is None:
            remedy = f"Write the name of a machine or a load balancer, an address, or {NEXT_HOP_UNCHANGED}."
            raise InvalidInput(f"next_hop: {name} is not a next hop.", remedy)
        return found

    for text in texts:
        rule = _rule(text)
        to = []
        for name in rule.to or ():
            peer = meant(name, peers)
            if peer is None:
                raise InvalidInput(f"{nva} has no BGP session with {name}.", f"It has: {', '.join(sorted(peers))}.")
            to.append(peer)
        yield from export_rules([rule.model_copy(update={"to": tuple(to)}) if to else rule], address)


def _rule(text: str) -> ExportRule:
    source = parse(text)
    if source.problems or not isinstance(source.data, dict):
        raise InvalidInput(f"{text} is not an export rule.", f"Write it as in a lab file: {EXAMPLE}")
    try:
        return ExportRule.model_validate(source.data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        own = first.get("ctx", {}) if first["type"] == "mistake" else {}
        message = own.get("text") or f"{first['msg'][:1].lower()}{first['msg'][1:]}"
        remedy = own.get("remedy") or f"Keys of a rule: {', '.join(ExportRule.model_fields)}; such as {EXAMPLE}"
        raise InvalidInput(f"export rule {text}: {where}: {message}.", remedy) from None
