"""Write docs/fidelity.md: what is known of Azure, how surely, what labkit does about it, and what proves that.

Usage: python tools/fidelity.py   (after a change of docs/fidelity.yml, or of the rules and tests that it names)

docs/fidelity.yml holds the facts, docs/sources.yml what they cite. Everything else on the page is asked of the code:
whether rules and tests exist, what kind of proof they are, the defaults of switches, which functions of labkit.azure no
fact names, and whether every citation in the code leads somewhere.

The code cites a fact by its id in brackets, an RFC as `RFC 4271 §9.1`, and a page of this repository by its path.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import yaml

from labkit.azure import model
from labkit.lab.json_schema import json_schema

ROOT = Path(__file__).parent.parent
FACTS = ROOT / "docs" / "fidelity.yml"
SOURCES_FILE = ROOT / "docs" / "sources.yml"
PAGE = ROOT / "docs" / "fidelity.md"
COMMAND = ".venv/bin/python tools/fidelity.py"

SOURCES = ("documented", "observed", "support wiki", "inferred", "uncertain")
VERDICTS = ("same", "switch", "differs", "left out")
PROOFS = ("example", "unit", "e2e")

_ID = r"[a-z0-9]+(?:-[a-z0-9]+)+"
_CITATION = re.compile(rf"(?<![\w`\])])\[({_ID}(?:,\s+{_ID})*)\]")
_SECTION = re.compile(r"(?<!RFC \d{4} )§[\w.]*")
_PAGE_OF_DOCS = re.compile(r"\bdocs/[\w-]+\.\w+|`[\w-]+\.md`")
_COMMENT_LINE = re.compile(r"^\s*(?:#|!|\{#).*", re.MULTILINE)

_HEAD = f"""\
<!-- Made by `{COMMAND}` from fidelity.yml and the code; do not edit. -->

# How faithful labkit is to Azure

What is known of Azure Route Server comes from Microsoft's documentation and from what others saw and published. Here is
every fact that labkit was built on, how sure it is, what labkit does about it, and what proves that.

- **source**, how a fact is known: *documented* by Microsoft; *observed*, in output that somebody published;
  *support wiki*, a mirrored page of Microsoft's support; *inferred* by us; *uncertain*, when sources contradict each
  other or are too few.
- **labkit**: *same*, it behaves as the fact. *switch*, a setting decides. *differs*, and how. *left out*, and why;
  "not yet" is work to come.
- **proof**: *example*, the rules give the tables of a published example, most of them Azure's own output. *unit*,
  tables of cases, properties and golden files. *e2e*, real kernels and real BGP speakers: without it, no lab has shown
  it so far.

Each fact has an id, by which the code cites it, and cites its sources by keys; [the sources](#sources) are at the end.
"""


@dataclass(frozen=True)
class Fact:
    """One fact of Azure, an entry of docs/fidelity.yml.

    `azure` says it; `cites` are keys of docs/sources.yml. At most one of `switch` (a field of `labkit.azure.model`),
    `differs` and `left_out` (why) is given; without any of them labkit does the same. `note` adds a word. `rules` are
    names below `labkit`, or files; `tests` are pytest's ids, or golden files.
    """

    id: str
    azure: str
    source: tuple[str, ...]
    cites: tuple[str, ...] = ()
    switch: str = ""
    differs: str = ""
    left_out: str = ""
    note: str = ""
    rules: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`."""
        said = {"switch": self.switch, "differs": self.differs, "left out": self.left_out}
        return next((verdict for verdict, text in said.items() if text), "same")

    @property
    def proofs(self) -> tuple[str, ...]:
        """Those of `PROOFS` that it has."""
        found = {_proof(test) for test in self.tests}
        return tuple(kind for kind in PROOFS if kind in found)


@dataclass(frozen=True)
class Theme:
    """Facts under a heading."""

    title: str
    facts: tuple[Fact, ...]


def load(text: str) -> tuple[Theme, ...]:
    """The facts of docs/fidelity.yml."""

    def fact(entry: Mapping[str, Any]) -> Fact:
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
        return Fact(**values)

    return tuple(Theme(theme["title"], tuple(map(fact, theme["facts"]))) for theme in yaml.safe_load(text))


def load_sources() -> Mapping[str, str]:
    """The sources of docs/sources.yml, by their keys."""
    sources: Mapping[str, str] = yaml.safe_load(SOURCES_FILE.read_text(encoding="utf-8"))
    return sources


def problems(themes: Iterable[Theme], sources: Mapping[str, str]) -> list[str]:
    """What facts say of the code that is not so, and citations of the code that lead nowhere."""
    facts = [fact for theme in themes for fact in theme.facts]
    twice = [fact.id for fact in facts if [other.id for other in facts].count(fact.id) > 1]
    cited = {key for fact in facts for key in fact.cites}
    return [
        *(f"{fact.id}: {problem}" for fact in facts for problem in _wrong(fact, sources)),
        *(f"{name}: the id of more than one fact" for name in dict.fromkeys(twice)),
        *(f"labkit.{rule} cites [{cited}], which does not name it" for rule, cited in unnamed(facts)),
        *(f"docs/sources.yml: no fact cites {key}" for key in sources if key not in cited),
        *(problem for file in _citing() for problem in dangling(_prose(file), file.relative_to(ROOT), facts)),
    ]


def dangling(text: str, file: Path, facts: Iterable[Fact]) -> Iterator[str]:
    """Citations in the docstrings and comments of a file that lead nowhere, each as a sentence."""
    known = {fact.id for fact in facts}
    for cited in _CITATION.finditer(text):
        yield from (f"{file} cites [{name}], which is not a fact" for name in cited[1].split(", ") if name not in known)
    yield from (f"{file} cites {found[0]}, of no RFC" for found in _SECTION.finditer(text))
    for found in _PAGE_OF_DOCS.finditer(text):
        name = found[0].strip("`").removeprefix("docs/")
        if not (ROOT / "docs" / name).is_file() and not (ROOT / name).is_file():
            yield f"{file} cites {found[0]}, which does not exist"


def unnamed(facts: Iterable[Fact]) -> list[tuple[str, str]]:
    """Rules of labkit.azure whose docstring cites a fact that does not name them, and that fact's id."""
    names = {fact.id: _named(fact) for fact in facts}
    return [
        (rule, cited)
        for file, module in _modules()
        for name, doc in definitions(file).items()
        for rule in [f"{module}.{name}"]
        for citation in _CITATION.finditer(" ".join(doc.split()))
        for cited in citation[1].split(", ")
        if cited in names and rule not in names[cited]
    ]


def without_fact(facts: Iterable[Fact]) -> dict[str, list[str]]:
    """Public functions of labkit.azure that no fact names, by module."""
    named = {rule for fact in facts for rule in _named(fact)}
    found = {m: [f for f in _public_functions(file) if f"{m}.{f}" not in named] for file, m in _modules()}
    return {module: functions for module, functions in found.items() if functions}


@cache
def definitions(file: Path) -> Mapping[str, str]:
    """What a Python file defines, and its docstring: functions, classes, what is in them (dotted), and constants."""
    return dict(_definitions(_tree(file).body))


def page(themes: Sequence[Theme], sources: Mapping[str, str]) -> str:
    """The text of docs/fidelity.md."""
    facts = [fact for theme in themes for fact in theme.facts]
    parts = (_counts(themes), _differences(facts), _open(facts), _themes(themes), _rest(facts), _sources(sources))
    return "\n".join((_HEAD, *(line for part in parts for line in part)))


def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _definitions(body: Sequence[ast.stmt]) -> Iterator[tuple[str, str]]:
    for node, after in zip_longest(body, body[1:]):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name, ast.get_docstring(node) or ""
            case ast.ClassDef():
                yield node.name, ast.get_docstring(node) or ""
                yield from ((f"{node.name}.{name}", doc) for name, doc in _definitions(node.body))
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name, _said_below(after)


def _said_below(node: ast.stmt | None) -> str:
    """The docstring of a constant, which is a string in the next line; empty without."""
    match node:
        case ast.Expr(value=ast.Constant(value=str() as text)):
            return text
    return ""


def _citing() -> Iterator[Path]:
    """The files whose docstrings and comments may cite."""
    code = (("labkit", "*.py"), ("templates", "*.j2"), ("images", "*"), ("topologies", "*.yml"), ("tests", "*.py"))
    for folder, pattern in code:
        found = (ROOT / folder).rglob(pattern)
        yield from sorted(file for file in found if file.is_file() and "__pycache__" not in file.parts)


@cache
def _prose(file: Path) -> str:
    """The docstrings and comments of a file, with line ends as spaces."""
    if file.suffix != ".py":
        return " ".join(" ".join(_COMMENT_LINE.findall(file.read_text(encoding="utf-8"))).split())
    with file.open("rb") as source:
        tokens = list(tokenize.tokenize(source.readline))
    prose = (t.string for t in tokens if t.type == tokenize.COMMENT or t.string.startswith('"""'))
    return " ".join(" ".join(prose).split())


def _public_functions(file: Path) -> list[str]:
    return [n.name for n in _tree(file).body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]


def _modules() -> Iterator[tuple[Path, str]]:
    for file in sorted((ROOT / "labkit" / "azure").rglob("*.py")):
        package = ".".join(file.parent.relative_to(ROOT / "labkit").parts)
        yield file, package if package == "azure.model" else f"{package}.{file.stem}"


def _named(fact: Fact) -> tuple[str, ...]:
    return (*fact.rules, f"azure.model.{fact.switch}") if fact.switch else fact.rules


def _wrong(fact: Fact, sources: Mapping[str, str]) -> Iterator[str]:
    if not re.fullmatch(_ID, fact.id):
        yield "an id is words of small letters and digits, at least two, with hyphens between"
    yield from (f"docs/sources.yml has no {key}" for key in fact.cites if key not in sources)
    yield from (f'"{source}" is no source' for source in fact.source if source not in SOURCES)
    if sum(map(bool, (fact.switch, fact.differs, fact.left_out))) > 1:
        yield "it can't be more than one of switch, differs and left_out"
    if fact.verdict in {"same", "switch"} and not (fact.rules and fact.tests):
        yield "it needs a rule and a test, or left_out with a reason"
    if fact.switch and _default(fact.switch) is None:
        yield f"labkit.azure.model has no {fact.switch} with a default"
    yield from (f"there is no rule {rule}" for rule in fact.rules if not _exists(*_place(rule)))
    yield from (f"there is no test {test}" for test in fact.tests if not _exists(*_test_place(test)))


def _exists(file: Path, name: str) -> bool:
    return file.is_file() and (not name or name in definitions(file))


def _place(rule: str) -> tuple[Path, str]:
    """The file of a rule, and its dotted name there; none if the rule is the file."""
    if "/" in rule:
        return ROOT / rule, ""
    place, names = ROOT / "labkit", rule.split(".")
    while names and (place / names[0]).is_dir():
        place /= names.pop(0)
    if names and (module := place / f"{names[0]}.py").is_file():
        return module, ".".join(names[1:])
    name = ".".join(names)
    # What a package exports is defined in one of its modules.
    return next((file for file in sorted(place.glob("*.py")) if name in definitions(file)), place), name


def _test_place(test: str) -> tuple[Path, str]:
    file, _, name = test.partition("::")
    return ROOT / file, name.replace("::", ".")


def _proof(test: str) -> str:
    if test.startswith("tests/e2e/"):
        return "e2e"
    return "example" if test.partition("::")[0].endswith("captures.py") else "unit"


def _field(switch: str) -> tuple[str, str]:
    owner, _, name = switch.partition(".")
    return owner, name


def _default(switch: str) -> str | None:
    """The default of a field of the model as a lab file writes it; None if there is none."""
    owner, name = _field(switch)
    fields = dataclasses.fields(getattr(model, owner)) if hasattr(model, owner) else ()
    value = next((field.default for field in fields if field.name == name), dataclasses.MISSING)
    if value is dataclasses.MISSING:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def _in_lab_files(switch: str) -> bool:
    _, name = _field(switch)
    return any(name in part.get("properties", ()) for part in json_schema()["$defs"].values())


def _counts(themes: Sequence[Theme]) -> Iterator[str]:
    facts = [fact for theme in themes for fact in theme.facts]
    yield "## In numbers\n"
    rows = [(f"[{theme.title}](#{_anchor(theme.title)})", *_count(theme.facts)) for theme in themes]
    yield _table(("", "facts", *VERDICTS, "shown e2e", "uncertain"), [*rows, ("**all**", *_count(facts))])


def _count(facts: Sequence[Fact]) -> tuple[str, ...]:
    verdicts = [fact.verdict for fact in facts]
    shown = sum("e2e" in fact.proofs for fact in facts)
    unsure = sum("uncertain" in fact.source for fact in facts)
    return tuple(map(str, (len(facts), *(verdicts.count(verdict) for verdict in VERDICTS), shown, unsure)))


def _differences(facts: Iterable[Fact]) -> Iterator[str]:
    yield "## Where labkit is not Azure\n\nWhat is merely left out is in the tables of the themes.\n"
    yield _table(("Azure", "labkit"), [(fact.azure, fact.differs) for fact in facts if fact.differs])


def _open(facts: Iterable[Fact]) -> Iterator[str]:
    yield "## What nobody knows for sure\n"
    yield "`Assumptions` are the keys of `assumptions` in a lab file; every default has more evidence than the rest.\n"
    rows = [(f.azure, _verdict(f), f"`{f.switch}`" if f.switch else "-") for f in facts if "uncertain" in f.source]
    yield _table(("Azure", "labkit", "decided by"), rows)


def _themes(themes: Iterable[Theme]) -> Iterator[str]:
    for theme in themes:
        yield f"## {theme.title}\n"
        rows = [
            (f"`{f.id}`", f.azure, ", ".join((*f.source, *f.cites)), _verdict(f), ", ".join(f.proofs) or "-")
            for f in theme.facts
        ]
        yield _table(("id", "Azure", "source", "labkit", "proof"), rows)
        yield "<details><summary>Rules and tests</summary>\n"
        yield from (f"- `{fact.id}`: {_where(fact)}" for fact in theme.facts if fact.rules or fact.tests)
        yield "\n</details>\n"


def _rest(facts: Iterable[Fact]) -> Iterator[str]:
    yield "## Functions of the rules that no fact names\n\nThey serve the others, or carry what the rules decide.\n"
    for module, names in without_fact(facts).items():
        yield f"- {_link(_place(module)[0], f'`{module}`')}: {', '.join(f'`{name}`' for name in names)}"
    yield ""


def _verdict(fact: Fact) -> str:
    text = {"same": "", "switch": _switch(fact.switch), "differs": fact.differs, "left out": fact.left_out}
    said = "; ".join(filter(None, (text[fact.verdict], fact.note)))
    verdict = fact.verdict if fact.verdict == "same" else f"**{fact.verdict}**"
    return f"{verdict}: {said}" if said else verdict


def _switch(switch: str) -> str:
    if not switch:
        return ""
    unsaid = "" if _in_lab_files(switch) else ", not yet in lab files"
    return f"`{switch}`, default `{_default(switch)}`{unsaid}"


def _sources(sources: Mapping[str, str]) -> Iterator[str]:
    yield "## Sources\n\nNames of files are those of azure-docs, the public repository of Azure's documentation.\n"
    yield _table(("key", "source"), sorted(sources.items()))


def _where(fact: Fact) -> str:
    rules = [_link(_place(rule)[0], f"`{rule}`") for rule in fact.rules]
    tests = [f"{_link(file)} {', '.join(names)}".rstrip() for file, names in _by_file(fact.tests).items()]
    return "; ".join(filter(None, (", ".join(rules), *tests)))


def _by_file(tests: Iterable[str]) -> dict[Path, list[str]]:
    found: dict[Path, list[str]] = {}
    for test in tests:
        file, name = _test_place(test)
        found.setdefault(file, []).extend([f"`{name.replace('.', '::')}`"] if name else [])
    return found


def _link(file: Path, text: str = "") -> str:
    path = file.relative_to(ROOT).as_posix()
    return f"[{text or path}](../{path})"


def _anchor(title: str) -> str:
    """The anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = (head, ["---"] * len(head), *rows)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def main() -> None:
    """Write the page, if all that it would say is so."""
    themes, sources = load(FACTS.read_text(encoding="utf-8")), load_sources()
    found = problems(themes, sources)
    if found:
        sys.exit("\n".join(found))
    PAGE.write_text(page(themes, sources), encoding="utf-8")


if __name__ == "__main__":
    main()
