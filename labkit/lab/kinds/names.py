"""The names in a lab file: each is one thing's, and what refers to it wants the right kind of thing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from labkit.azure.model import InstanceId
from labkit.lab.file.draft import Draft
from labkit.lab.file.problems import FileProblem, in_order, listed, some
from labkit.lab.file.yaml_source import Path
from labkit.lab.kinds.nouns import INTERNET, Noun, Trait
from labkit.lab.plan.nodes import INSTANCES
from labkit.names import LENGTHS, is_valid


@dataclass(frozen=True, slots=True)
class Declared:
    """A node's name, what it is the name of, and where the file has it.

    `made_of` is what labkit makes the name from, such as "the host of site branch"; None if the file has the name.
    """

    name: str
    noun: Noun
    path: Path
    made_of: str | None = None

    @property
    def owner(self) -> str:
        """What has the name, in words."""
        return self.made_of if self.made_of is not None else f"{self.noun} {self.name}"


def declared_with_instances(draft: Draft, section: str, noun: Noun, instance: Noun) -> Iterator[Declared]:
    """The names of a section's objects, and those of the nodes of their instances."""
    for name in draft.names(section):
        path: Path = (section, name)
        yield Declared(name, noun, path)
        for index in INSTANCES:
            yield Declared(InstanceId(name, index).node, instance, path, f"an instance of {noun} {name}")


@dataclass
class Names:
    """Every name of a lab and its noun, those of entries with mistakes included.

    `adrift` are names under keys that no lab file has: what they are nobody knows, but they are there. `blind` are
    nouns whose section could not be read at all. `unknown` are references to nothing, by name. `reported` are names
    that are known to be unknown already, in the file that this one is a variant of.
    """

    reported: Collection[str] = ()
    nouns: dict[str, Noun] = field(default_factory=dict)
    unknown: dict[str, list[FileProblem]] = field(default_factory=dict)
    adrift: set[str] = field(default_factory=set)
    blind: set[Noun] = field(default_factory=set)
    _known: dict[tuple[tuple[Noun | Trait, ...], int], list[str]] = field(default_factory=dict)

    def refer(
        self,
        draft: Draft,
        path: Path,
        about: str,
        name: str,
        *wanted: Noun | Trait,
        called: str = "",
        also: Sequence[str] = (),
    ) -> bool:
        """Whether `name` is the name of one of `wanted`. If not, that is noted and the place at `path` left out.

        `about` begins the message; `called` is what must be here, in a word, if that is not plain from `wanted`;
        `also` are words that may have been meant.
        """

        def fits(noun: Noun) -> bool:
            return any(noun.traits & each if isinstance(each, Trait) else noun == each for each in wanted)

        noun = self.nouns.get(name)
        if noun is not None and fits(noun):
            return True
        draft.spoil(path)
        owner = _owner(name)
        if {name, owner} & self.adrift or any(fits(each) for each in self.blind):
            return False
        if owner != name and draft.broken(("circuits", owner, "edges")):
            return False
        for section in ("nvas", "virtual_machines"):
            place: Path = (section, owner)
            unread = draft.broken((*place, "nics")) and not draft.names(section, owner, "nics")
            # A key that no machine has may be its nics, misspelt; a variant adds to them all the same.
            if owner != name and (unread or any(p[:2] == place and len(p) == 3 for p in draft.damaged)):
                return False
        called = called or str(wanted[0])
        known = self._known.setdefault((wanted, len(self.nouns)), [])
        if not known:
            known += (each for each, its in self.nouns.items() if fits(its))
        near = draft.nearest(name, [*known, *also])
        choices = f"The file has: {some(known)}." if known else f"The file has none: add {_a(called)}."
        if noun is not None:
            draft.error(path, f"{about}: {name} is {noun.a}; expected {_a(called)}.", choices)
        elif name == "internet" and fits(INTERNET):
            remedy = "Add internet: {prefix: 198.51.100.0/24}."
            draft.error(path, f"{about}: the lab has no Internet.", remedy)
        else:
            remedy = f'Did you mean "{near}"?' if near is not None else choices
            self.note_unknown(draft, path, name, f'{about}: there is no {called} "{name}"', remedy)
        return False

    def note_unknown(self, draft: Draft, path: Path, name: str, text: str, remedy: str) -> None:
        """Notes that the name at `path` is not that of anything; `text` is without its full stop."""
        draft.spoil(path)
        self.unknown.setdefault(name, []).append(FileProblem(draft.line(path), text, remedy))

    def report_unknown(self, draft: Draft) -> None:
        """Notes every reference to nothing: a name that is wrong in many places is one mistake.

        So is one whose own nodes or NICs are referred to, too.
        """
        by_owner: dict[str, list[FileProblem]] = {}
        for name, problems in self.unknown.items():
            owner = _owner(name)
            by_owner.setdefault((name if owner in self.nouns else owner).casefold(), []).extend(problems)
        reported = {name.casefold() for name in self.reported}
        for name, problems in by_owner.items():
            if name in reported:
                continue
            first, *others = in_order(problems)
            lines = [str(line) for line in dict.fromkeys(p.line for p in others) if line != first.line]
            also = f" (also on line{'s' if len(lines) > 1 else ''} {listed(lines)})" if lines else ""
            draft.problems.append(replace(first, text=f"{first.text}{also}."))


def _owner(name: str) -> str:
    """What has a node or a NIC of this name, by the form of the name; other names have themselves."""
    return re.sub(r"(?<=.)(-[01]|-host|-lan|/.*)$", "", name)


def _a(word: str) -> str:
    return f"an {word}" if word.startswith(("NVA", "a", "i")) else f"a {word}"


def invalid_name(about: str, name: str, lengths: range = LENGTHS) -> tuple[str, str]:
    """The text and the remedy for a name that Azure does not take; `about` begins the text."""
    remedy = "Start with a letter or a digit; end with one, or with an underscore."
    if len(name) > lengths[-1]:
        return f"{about}: the name has {len(name)} characters; Azure allows {lengths[-1]}.", "Shorten it."
    if 0 < len(name) < lengths[0]:
        return f"{about}: the name has one character; Azure needs {lengths[0]} at least.", "Lengthen it."
    if re.fullmatch(r"[A-Za-z0-9_.-]*", name):
        return f'{about}: "{name}" is not a valid name in Azure.', remedy
    near = re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-.")
    example = f", such as {near}" if is_valid(near) else ""
    return (
        f'{about}: "{name}" is not a valid name in Azure.',
        f"Use letters, digits, hyphens, underscores and full stops{example}.",
    )


def check_azure_names(draft: Draft, place: Path, title: str, dedicated: Mapping[str, str]) -> None:
    """Notes what Azure takes for no name, at `place`: its own rule holds there, and case makes no difference.

    `title` is what they name, with `{}` for the name; `dedicated` are names with one spelling, by the lower-case one.
    """
    seen: dict[str, str] = {}
    for name in draft.names(*map(str, place)):
        about, path = title.replace("{}", name), (*place, name)
        if not is_valid(name):
            draft.error(path, *invalid_name(about, name))
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            twin = f'"{other}" (line {draft.line((*place, other))})'
            text = f"{about}: {twin} differs only in case, and Azure ignores case."
            draft.error(path, text, "Rename one.")
        spelling = dedicated.get(name.casefold(), name)
        if spelling != name:
            draft.spoil(path)
            draft.error(path, f"{about}: Azure writes it {spelling}.", f"Rename it to {spelling}.")
