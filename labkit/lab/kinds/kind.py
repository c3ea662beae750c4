"""What every kind of object gives a lab: the hooks that `labkit.lab.compile` runs, stage by stage.

A kind leaves out what it does not have. docs/adding-a-kind.md goes through one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Any, ClassVar

from labkit.azure.model import Azure
from labkit.azure.model.problem import Code, Problem
from labkit.lab.file.draft import Draft
from labkit.lab.file.schema import Section
from labkit.lab.file.yaml_source import Path
from labkit.lab.kinds.addresses import Addresses, Assignment
from labkit.lab.kinds.names import Declared, Names
from labkit.lab.kinds.nouns import VIRTUAL_NETWORK, Noun
from labkit.lab.model import Lab
from labkit.lab.plan.common import Planned
from labkit.lab.plan.wires import Interfaces, Wire, Wiring


@dataclass(frozen=True, slots=True)
class Given:
    """An address that the file gives, whose it is, and the range that it must lie in.

    `azure` is whether Azure's reserved addresses count; `within` is None where the range is not known.
    """

    address: IPv4Address
    whose: str
    path: Path
    within: IPv4Network | None = None
    where: str = ""
    azure: bool = False


@dataclass(frozen=True, slots=True)
class GivenMac:
    """A MAC address that the file gives."""

    mac: str
    path: Path


@dataclass(frozen=True, slots=True)
class Range:
    """A range of a lab, what has it in words, and where the file has it.

    Attributes:
        azure: whether it is a virtual network's.
        link: whether its two ends are the addresses in it.
        shared: whether several objects may have it, as two data centres do.
        yields: of two ranges that overlap, the one with the higher number must move.
    """

    prefix: IPv4Network
    what: str
    path: Path
    azure: bool = False
    link: bool = False
    shared: bool = False
    yields: int = 0


@dataclass(frozen=True, slots=True)
class Joined:
    """Two objects that the file connects, by name; `bgp` if they have a session with each other."""

    one: str
    other: str
    bgp: bool = True


Place = Callable[[Draft, Problem], tuple[Path, str]]
"""Where in the file a problem is mended, and the words before its text."""


def at(*steps: str | int, about: str = "") -> Place:
    """The place of these keys; a number stands for the problem's subject of that number, as `{0}` does in `about`."""

    def place(_: Draft, problem: Problem) -> tuple[Path, str]:
        keys = tuple(problem.subjects[step] if isinstance(step, int) else step for step in steps)
        return keys, about.format(*problem.subjects)

    return place


@dataclass(frozen=True, slots=True)
class AzureRefusal:
    """What to do about something that Azure refuses, and where.

    Attributes:
        remedy: the remedy, in which `{0}` and so on are the problem's subjects; or what makes it.
        place: the place in the file where it is mended; `at` makes simple ones.
        follows: whether the problem may only follow from something that was left out.
    """

    remedy: str | Callable[[Draft, Problem], str]
    place: Place
    follows: Callable[[Draft, Problem], bool] = field(default=lambda draft, problem: False)  # noqa: ARG005


@dataclass
class Checking:
    """What the checks of one file share: its sound part, its names, what it connects.

    `judged` are the places of ASNs that a check has judged already. `azure` is the model, for `check` alone,
    and `sound` whether nothing was found wrong before that: what only follows from a mistake is not noted.
    """

    draft: Draft
    names: Names
    joined: tuple[Joined, ...] = ()
    azure: Azure = field(default_factory=lambda: Azure(()))
    sound: bool = False
    judged: set[Path] = field(default_factory=set)

    def joined_to(self, name: str, *, by_bgp: bool = False) -> set[str]:
        """What the file connects with the object of this name; `by_bgp`: with which it has a session as well."""
        ends = ((each.one, each.other) for each in self.joined if each.bgp or not by_bgp)
        return {n for pair in ends if name in pair for n in pair} - {name}

    def refer_network(self, place: Path, about: str, name: str) -> None:
        """Notes that the object at `place` names a virtual network that is not there."""
        self.names.refer(self.draft, (*place, "virtual_network"), about, name, VIRTUAL_NETWORK)

    def refer_links(self, place: Path, links: Iterable[Mapping[str, object]], *nouns: Noun, called: str = "") -> None:
        """Notes links, in the list at `place`, to what is not there or is none of `nouns`, together `called` so."""
        about = f"{place[-1]} of {self.draft.subject(place)[0]}"
        for i, link in enumerate(links):
            for far in link:
                self.names.refer(self.draft, (*place, i, far), about, far, *nouns, called=called)

    def is_sound(self, name: str, *nouns: Noun) -> bool:
        """Whether this is the name of one of `nouns`, whose entry in the file is sound."""
        values = (self.draft.file[section] for section in self.draft.shape.sections.values())
        return self.names.nouns.get(name) in nouns and any(isinstance(v, dict) and name in v for v in values)


class Kind:
    """One kind of object in a lab. Every hook has a default, which is nothing."""

    section: Section[Any] | None = None
    """Its section of the lab file."""

    noun: Noun | None = None
    """What the names of its section's entries are the names of, where others refer to them."""

    refusals: ClassVar[Mapping[Code, AzureRefusal]] = {}
    """What Azure refuses of its objects, or accepts although it does not work."""

    def names(self, draft: Draft) -> Iterator[Declared]:  # noqa: ARG002
        """The names of its nodes, and of what others refer to."""
        yield from ()

    def references(self, checking: Checking) -> None:
        """Notes every reference to nothing, or to the wrong kind of thing, and leaves it out."""

    def joins(self, draft: Draft) -> Iterator[Joined]:  # noqa: ARG002
        """What its objects are connected with."""
        yield from ()

    def ranges(self, draft: Draft) -> Iterator[Range]:  # noqa: ARG002
        """Its ranges. What is wrong with one by itself is noted."""
        yield from ()

    def given(self, draft: Draft) -> Iterator[Given]:  # noqa: ARG002
        """The addresses that the file gives its objects."""
        yield from ()

    def macs(self, draft: Draft) -> Iterator[GivenMac]:  # noqa: ARG002
        """The MAC addresses that the file gives its NICs."""
        yield from ()

    def assign(self, assignment: Assignment) -> None:
        """Completes the addresses of its objects."""

    def azure(self, draft: Draft, addresses: Addresses, azure: Azure) -> Azure:  # noqa: ARG002
        """The model with its objects. What refers to something that is not there is left out."""
        return azure

    def check(self, checking: Checking) -> None:
        """Notes what its objects can't be or do, once references are known to be sound."""

    def lab(self, draft: Draft, addresses: Addresses, lab: Lab) -> Lab:  # noqa: ARG002
        """The lab with its objects, of a draft without errors; `lab.azure` is complete."""
        return lab

    def wires(self, lab: Lab, interfaces: Interfaces) -> Iterator[Wire]:  # noqa: ARG002
        """The links of its objects."""
        yield from ()

    def nodes(self, lab: Lab, wiring: Wiring) -> Iterator[Planned]:  # noqa: ARG002
        """The nodes of its objects, with their files."""
        yield from ()
