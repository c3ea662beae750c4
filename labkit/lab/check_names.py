"""The names in a lab file: what they may be, that each is one thing's, and what they refer to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from labkit.azure.model import InstanceId
from labkit.azure.rules.addressing import DEDICATED_SUBNETS
from labkit.lab.build import HOST_SUFFIX
from labkit.lab.draft import Draft
from labkit.lab.file.problems import Problem, in_order, listed, nearest
from labkit.lab.file.schema import LabFile
from labkit.lab.file.schema_types import AZURE_NAME, MAX_NODE_NAME, NODE_NAME
from labkit.lab.file.variants import VARIANTS
from labkit.lab.file.yaml_source import Path
from labkit.lab.plan.nodes import CONTROLLER, INSTANCES

MAX_LAB_NAME = 24
INTERNET = "internet"


class Kind(StrEnum):
    """What a name of the lab is the name of."""

    VIRTUAL_NETWORK = "virtual network"
    ROUTE_SERVER = "route server"
    INSTANCE = "route server instance"
    NVA = "NVA"
    LOAD_BALANCER = "load balancer"
    GATEWAY = "gateway"
    GATEWAY_INSTANCE = "gateway instance"
    CIRCUIT = "circuit"
    SITE = "site"
    SITE_HOST = "site's host"
    INTERNET = "Internet"
    VIRTUAL_MACHINE = "virtual machine"

    def __format__(self, _: str) -> str:
        return self.value

    @property
    def a(self) -> str:
        """The kind with its article."""
        article = {Kind.INTERNET: "the", Kind.NVA: "an"}.get(self, "a")
        return f"{article} {self.value}"


_SECTIONS = {
    "virtual_networks": Kind.VIRTUAL_NETWORK,
    "route_servers": Kind.ROUTE_SERVER,
    "nvas": Kind.NVA,
    "load_balancers": Kind.LOAD_BALANCER,
    "gateways": Kind.GATEWAY,
    "circuits": Kind.CIRCUIT,
    "sites": Kind.SITE,
    "virtual_machines": Kind.VIRTUAL_MACHINE,
}

_OWNERS = {
    Kind.INSTANCE: "an instance of route server",
    Kind.GATEWAY_INSTANCE: "an instance of gateway",
    Kind.SITE_HOST: "the host of site",
}
_INSTANCES = {Kind.ROUTE_SERVER: Kind.INSTANCE, Kind.GATEWAY: Kind.GATEWAY_INSTANCE}
"""What has instances, and what they are."""

# Names that Linux gives to interfaces itself, or to files beside them in /proc/sys/net.
_KERNEL_NAMES = re.compile(r"(?i:lo|all|default|bridge|br\d*|eth\d+)")
_NEXT_HOP_TYPES = {"none", "vnetlocal"}
_DEDICATED = {name.casefold(): name for name in DEDICATED_SUBNETS}


@dataclass
class Names:
    """Every name of a lab and its kind, those of entries with mistakes included.

    `adrift` are names under keys that no lab file has: what they are nobody knows, but they are there. `blind` are
    kinds whose section could not be read at all. `unknown` are references to nothing, by name.
    """

    kinds: dict[str, Kind] = field(default_factory=dict)
    unknown: dict[str, list[Problem]] = field(default_factory=dict)
    adrift: set[str] = field(default_factory=set)
    blind: set[Kind] = field(default_factory=set)

    def of(self, *kinds: Kind) -> list[str]:
        """The names of these kinds, in the order of the file."""
        return [name for name, kind in self.kinds.items() if kind in kinds]

    def refer(
        self, draft: Draft, path: Path, about: str, name: str, *kinds: Kind, wanted: str = "", also: Sequence[str] = ()
    ) -> bool:
        """Whether `name` is the name of one of `kinds`. If not, that is noted and the place at `path` left out.

        `about` begins the message; `wanted` is what must stand here, in a word, if that is not plain from `kinds`;
        `also` are words that may have been meant.
        """
        kind = self.kinds.get(name)
        if kind in kinds:
            return True
        draft.spoil(path)
        if name in self.adrift or self.blind & set(kinds):
            return False
        wanted = wanted or kinds[0]
        known = self.of(*kinds)
        near = nearest(name, [*known, *also])
        choices = f"The file has: {', '.join(known)}." if known else f"The file has none: add {_a(wanted)}."
        if kind is not None:
            draft.error(path, f"{about}: {name} is {kind.a}; expected {_a(wanted)}.", choices)
        elif name == INTERNET and Kind.INTERNET in kinds:
            remedy = "Add internet: {prefix: 198.51.100.0/24}."
            draft.error(path, f"{about}: the lab has no Internet.", remedy)
        else:
            remedy = f'Did you mean "{near}"?' if near is not None else choices
            problem = Problem(draft.line(path), f'{about}: there is no {wanted} "{name}"', remedy)
            self.unknown.setdefault(name, []).append(problem)
        return False

    def report_unknown(self, draft: Draft) -> None:
        """Notes every reference to nothing: a name that is wrong in many places is one mistake."""
        for problems in self.unknown.values():
            first, *others = in_order(problems)
            lines = [str(line) for line in dict.fromkeys(p.line for p in others) if line != first.line]
            also = f" (also on line{'s' if len(lines) > 1 else ''} {listed(lines)})" if lines else ""
            draft.problems.append(replace(first, text=f"{first.text}{also}."))


def _a(word: str) -> str:
    return f"an {word}" if word.startswith(("NVA", "a", "i")) else f"a {word}"


def check_names(draft: Draft) -> Names:
    """Notes what names may not be, and names that two things have."""
    _check_lab_name(draft)
    names = Names()
    data = draft.source.data
    for section, kind in _SECTIONS.items():
        if isinstance(data, dict) and data.get(section) is not None and not isinstance(data[section], dict):
            names.blind.add(kind)
    known = {f.alias or name for name, f in LabFile.model_fields.items()}
    for key in draft.names():
        if key not in known:
            names.adrift |= set(draft.names(key))
    taken: dict[str, tuple[str, int]] = {CONTROLLER: ("labkit's controller", 0), INTERNET: ("the Internet", 0)}
    for declared in sorted(_declared(draft), key=lambda d: draft.line(d.path)):
        if declared.said:
            _check_name(draft, declared)
        other = taken.setdefault(declared.name.casefold(), (declared.owner, draft.line(declared.path)))
        if other[0] != declared.owner:
            _clash(draft, declared, other)
        names.kinds.setdefault(declared.name, declared.kind)
    if draft.file.internet is not None or draft.broken((INTERNET,)):
        names.kinds.setdefault(INTERNET, Kind.INTERNET)
    _check_azure_names(draft)
    _check_variant_names(draft)
    return names


@dataclass(frozen=True, slots=True)
class _Declared:
    """A node's name, where it comes from, and whether the file says it or labkit makes it from another."""

    name: str
    kind: Kind
    path: Path
    said: bool = True

    @property
    def owner(self) -> str:
        return f"{_OWNERS.get(self.kind, self.kind)} {self.name if self.said else self.path[1]}"


def _declared(draft: Draft) -> Iterator[_Declared]:
    for section, kind in _SECTIONS.items():
        for name in draft.names(section):
            path: Path = (section, name)
            yield _Declared(name, kind, path)
            if kind in _INSTANCES:
                for index in INSTANCES:
                    yield _Declared(InstanceId(name, index).node, _INSTANCES[kind], path, said=False)
            if kind is Kind.SITE:
                yield _Declared(name + HOST_SUFFIX, Kind.SITE_HOST, path, said=False)


def _clash(draft: Draft, declared: _Declared, other: tuple[str, int]) -> None:
    owner, line = other
    name, path = declared.name, declared.path
    if not line:
        text = f"{declared.kind} {name}: the name is reserved for {owner}."
        draft.error(path, text, "Use another name.")
    elif declared.said:
        text = f'{declared.kind} {name}: "{name}" is already the name of {owner} (line {line}).'
        draft.error(path, text, "Every node has a name of its own, whatever its case: rename one.")
    else:
        text = f'"{name}", {declared.owner}, is already the name of {owner} (line {line}).'
        draft.error(path, text, "labkit makes that name: rename one of the two.")


def _check_name(draft: Draft, declared: _Declared) -> None:
    name, kind, path = declared.name, declared.kind, declared.path
    suffix = InstanceId("", 0).node if kind in _INSTANCES else HOST_SUFFIX if kind is Kind.SITE else ""
    longest = MAX_NODE_NAME - len(suffix)
    if not re.fullmatch(NODE_NAME, name):
        near = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")
        example = f", such as {near}" if near else ""
        draft.error(
            path, f'{kind} {name}: "{name}" is not a valid host name.', f"Use letters, digits and hyphens{example}."
        )
    elif len(name) > longest:
        text = f"{kind} {name}: the name has {len(name)} characters; at most {longest} are allowed."
        why = f"Its nodes are called {name}{suffix} and the like, and " if suffix else ""
        remedy = f"{why}Linux ends an interface's name at {MAX_NODE_NAME} characters: shorten it."
        draft.error(path, text, remedy[0].upper() + remedy[1:])
    elif _KERNEL_NAMES.fullmatch(name):
        text = f"{kind} {name}: Linux has an interface or a setting called {name}."
        draft.error(path, text, "Use another name.")
    elif name.casefold() in _NEXT_HOP_TYPES and kind in {Kind.NVA, Kind.LOAD_BALANCER, Kind.VIRTUAL_MACHINE}:
        draft.error(path, f"{kind} {name}: {name} is a next hop type of route tables.", "Use another name.")


def _check_lab_name(draft: Draft) -> None:
    name = draft.file.name
    if not re.fullmatch(NODE_NAME, name):
        text = f'name: "{name}" is not a valid lab name.'
        draft.error(("name",), text, "Use letters, digits and hyphens, such as my-lab.")
    elif len(name) > MAX_LAB_NAME:
        text = f"name: {name} has {len(name)} characters; at most {MAX_LAB_NAME} are allowed."
        draft.error(("name",), text, "Its containers are called clab-<lab>-<node>: shorten it.")


def _check_azure_names(draft: Draft) -> None:
    """Route tables and subnets are no nodes: Azure's own rule for names holds, and case makes no difference."""
    places: list[tuple[str, tuple[str, ...]]] = [("route table", ("route_tables",))]
    places += [("subnet", ("virtual_networks", v, "subnets")) for v in draft.names("virtual_networks")]
    for what, place in places:
        seen: dict[str, str] = {}
        for name in draft.names(*place):
            about = f'{what} "{name}"' + (f" of virtual network {place[1]}" if len(place) > 1 else "")
            path = (*place, name)
            if not re.fullmatch(AZURE_NAME, name) or len(name) > 80:
                text = f"{about}: the name is not valid in Azure."
                draft.error(path, text, "Use up to 80 letters, digits, hyphens, underscores and full stops.")
            other = seen.setdefault(name.casefold(), name)
            if other != name:
                text = f'{about}: "{other}" differs only in case, and Azure ignores case.'
                draft.error(path, text, "Rename one.")
            dedicated = _DEDICATED.get(name.casefold(), name) if what == "subnet" else name
            if dedicated != name:
                draft.spoil(path)
                draft.error(path, f"{about}: Azure writes it {dedicated}.", f"Rename it to {dedicated}.")


def _check_variant_names(draft: Draft) -> None:
    for name in draft.names(VARIANTS):
        if not re.fullmatch(NODE_NAME, name):
            text = f'variant {name}: "{name}" is not a valid variant name.'
            draft.error((VARIANTS, name), text, "Use letters, digits and hyphens, such as active-passive.")
        elif len(name) > MAX_NODE_NAME:
            text = f"variant {name}: the name has {len(name)} characters; at most {MAX_NODE_NAME} are allowed."
            draft.error((VARIANTS, name), text, "It is typed and stands in tables: shorten it.")
