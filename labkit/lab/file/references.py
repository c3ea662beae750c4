"""References in a lab file: names, which come out as the file spells them where it declares them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import partial
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo

from labkit.azure.model import NextHopType


class Namespace(StrEnum):
    """What has names of its own: two route tables can't share one, a route table and an NVA can."""

    OBJECTS = "objects"
    ROUTE_TABLES = "route tables"


Spellings = Mapping[Namespace, Mapping[str, str]]
"""How the file itself spells its names, by that spelling and by the name in lower case: what validation is given."""


def spellings(names: Mapping[Namespace, Iterable[str]]) -> Spellings:
    """The spellings of names, of which those that differ by case alone stay apart."""
    found: dict[Namespace, dict[str, str]] = {}
    for space, declared in names.items():
        known = [*declared]
        folded = {name.casefold(): name for name in reversed(known)}
        found[space] = folded | {name: name for name in known}
    return found


def as_declared(text: str, info: ValidationInfo, space: Namespace = Namespace.OBJECTS) -> str:
    """A name as the file spells it where it declares it: Azure ignores case [azure-names]."""
    known: Mapping[str, str] = (info.context or {}).get(space, {})
    owner, slash, rest = text.partition("/")
    found = known.get(text) or known.get(text.casefold())
    return found or f"{known.get(owner) or known.get(owner.casefold(), owner)}{slash}{rest}"


def _hop_as_declared(text: str, info: ValidationInfo) -> str:
    return text if text in set(NextHopType) else as_declared(text, info)


Reference = Annotated[str, AfterValidator(as_declared)]
"""The name of an object, a NIC (`machine/nic`) or a subnet (`network/subnet`) in the file, in any case."""
HopReference = Annotated[str, AfterValidator(_hop_as_declared)]
"""The same, or one of Azure's next hop types."""
RouteTableReference = Annotated[str, AfterValidator(partial(as_declared, space=Namespace.ROUTE_TABLES))]
