"""Export rules in the words of a lab file, for those who change an NVA's export policy while the lab runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import ValidationError

from labkit.azure import model
from labkit.azure.model import Azure
from labkit.errors import InvalidInput
from labkit.lab.file.yaml_source import parse
from labkit.lab.kinds.export_rules import NEXT_HOP_UNCHANGED, ExportRule, export_rules, next_hop_set
from labkit.lab.kinds.next_hop import next_hops

EXAMPLE = "'{to: rs1, prefix: 10.1.0.0/16, set: {prepend: 2}}'"


def rules_of(azure: Azure, texts: Iterable[str]) -> Iterator[model.ExportRule]:
    """The rules that texts are, each as in the `exports` of a lab file, in a running lab.

    Raises:
        InvalidInput: a text is not a rule, or it names what is not there.
    """
    named = next_hops(azure)
    for text in texts:
        rule = _rule(text)
        hop = rule.set.next_hop
        if hop is not None and next_hop_set(hop, named) == (None, False):
            remedy = f"Write the name of a machine, a load balancer or a firewall, an address, or {NEXT_HOP_UNCHANGED}."
            raise InvalidInput(f"next_hop: {hop} is not a next hop.", remedy)
        yield from export_rules([rule], named)


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
