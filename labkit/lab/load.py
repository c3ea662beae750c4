"""Lab files: from a path or a text to a `Lab`, or to every mistake at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path

from labkit.lab.compile import check
from labkit.lab.file.problems import FileProblem, LabFileError, Severity, in_order, listed, suggestion
from labkit.lab.file.schema import VARIANTS
from labkit.lab.file.variants import as_text, patched, variant_names
from labkit.lab.file.yaml_source import MAX_VALUES, Source, parse
from labkit.lab.model import Lab

LONGEST = 1 << 20
"""The bytes of a lab file, or of a list of changes."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A lab, and what its file does that deserves a second look. `name` is the file's, for `FileProblem.show`.

    `text` is the content of the file, `source` the values of it that make this lab, `description` the variant's.
    """

    lab: Lab
    warnings: tuple[FileProblem, ...]
    name: str
    text: str
    source: Source
    description: str = ""

    def standalone(self) -> str:
        """A lab file of just this lab: the file itself, or for a variant what it makes of the file."""
        if not self.lab.variant:
            return self.text
        return f"# Variant {self.lab.variant} of lab {self.lab.name}, merged by labkit.\n{as_text(self.source)}"


def load(path: Path | str) -> Lab:
    """The lab of a file. See `read` for the warnings.

    Raises:
        LabFileError: the file can't be read or has mistakes; it holds all of them.
    """
    return read(path).lab


def load_text(text: str, name: str, variant: str = "", reserved: Iterable[IPv4Address] = ()) -> Lab:
    """The lab of a text; `name` is the file's in messages, `reserved` are addresses that labkit chooses for nothing.

    Raises:
        LabFileError: the text has mistakes; it holds all of them.
    """
    return _read(text, name, [variant] if variant else [], frozenset(reserved))[-1].lab


def read(path: Path | str, variant: str = "") -> Loaded:
    """The lab of a file in one of its variants ("": the base), and warnings.

    Raises:
        LabFileError: the file can't be read, its base or the variant has mistakes; it holds all of them.
    """
    return read_text(file_text(path), str(path), variant)


def read_text(text: str, name: str, variant: str = "") -> Loaded:
    """The lab of a text in one of its variants ("": the base), and warnings.

    Raises:
        LabFileError: the text has no such variant, its base or the variant has mistakes; it holds all of them.
    """
    return _read(text, name, [variant] if variant else [])[-1]


def read_all(path: Path | str) -> list[Loaded]:
    """The labs of a file: its base, then every variant. The warnings of each are those of all.

    Raises:
        LabFileError: the file can't be read or has mistakes; it holds all of them.
    """
    return read_all_text(file_text(path), str(path))


def read_all_text(text: str, name: str) -> list[Loaded]:
    """The labs of a text, as `read_all`."""
    return _read(text, name, None)


def file_text(path: Path | str) -> str:
    """The text of a file that a user names.

    Raises:
        LabFileError: it can't be read, or is too long.
    """
    name = str(path)
    try:
        with Path(path).open("rb") as file:
            return decoded(file.read(LONGEST + 1), name)
    except FileNotFoundError:
        raise LabFileError(name, [FileProblem(0, "there is no such file.", "Check the path.")]) from None
    except IsADirectoryError:
        raise LabFileError(name, [FileProblem(0, "this is a directory.", "Name the lab file in it.")]) from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise LabFileError(
            name, [FileProblem(0, f"can't be read: {reason}.", "Check the path and its rights.")]
        ) from None


def decoded(data: bytes, name: str) -> str:
    """The text of the first bytes of a file, of which at most `LONGEST` and one more were read; its lines end in LF.

    Raises:
        LabFileError: there is more, or it is not UTF-8.
    """
    if len(data) > LONGEST:
        text = f"this is longer than {LONGEST:,} bytes."
        raise LabFileError(name, [FileProblem(0, text, "A lab of 1,000 machines has a tenth of that: check the path.")])
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        text = f"this is not UTF-8 text (byte {error.start})."
        raise LabFileError(name, [FileProblem(0, text, "Save the file as UTF-8 text.")]) from None


def _read(text: str, name: str, wanted: Sequence[str] | None, reserved: Collection[IPv4Address] = ()) -> list[Loaded]:
    """The base and the variants `wanted`, None for all of them."""
    base = parse(text)
    known = variant_names(base)
    wanted = known if wanted is None else wanted
    if len(base.lines) * len(wanted) > MAX_VALUES:
        text = f"{len(wanted)} variants of {len(base.lines):,} values are more than {MAX_VALUES:,} values."
        problem = FileProblem(
            base.line((VARIANTS.key,)), text, "Keep fewer variants in a file, or name one: --variant."
        )
        raise LabFileError(name, [problem])
    checked = [check(base, reserved=reserved)]
    checked += (check(patched(base, variant), checked[0], reserved) for variant in wanted if variant in known)
    problems = _each_once({each.draft.source.variant: each.draft.problems for each in checked})
    problems += [
        FileProblem(0, f'there is no variant "{variant}".', suggestion(variant, known, "variants"))
        for variant in wanted
        if variant not in known
    ]
    problems = in_order(problems)
    errors = [p for p in problems if p.severity is Severity.ERROR]
    if errors:
        raise LabFileError(name, errors)
    warnings = tuple(p for p in problems if p.severity is Severity.WARNING)
    variants = checked[0].draft.file[VARIANTS]
    return [
        Loaded(
            each.lab(),
            warnings,
            name,
            text,
            each.draft.source,
            variants[variant].description if (variant := each.draft.source.variant) else "",
        )
        for each in checked
    ]


def _each_once(found: Mapping[str, Sequence[FileProblem]]) -> list[FileProblem]:
    """The base's problems, and those that variants bring, with the variants' names."""
    problems = list(found[""])
    known = {_mistake(problem) for problem in problems}
    brought: dict[tuple[int, str], tuple[FileProblem, list[str]]] = {}
    for variant, of_variant in found.items():
        for problem in in_order(of_variant):
            if _mistake(problem) not in known:
                _, variants = brought.setdefault(_mistake(problem), (problem, []))
                variants += [variant] if variant not in variants else []
    for problem, variants in brought.values():
        word = "variants" if len(variants) > 1 else "variant"
        problems.append(replace(problem, text=f"{word} {listed(variants)}: {problem.text}"))
    return problems


def _mistake(problem: FileProblem) -> tuple[int, str]:
    # The remedy and further lines may differ in a variant that has more names; it is the same mistake.
    return problem.line, problem.text.partition(" (also on line")[0].removesuffix(".")
