"""Variants of a lab file: its own values with a patch over them, in the file's own shape.

Mappings merge key by key, null removes, everything else replaces (RFC 7386). Only proofs add up: those of the file
that hold in the variant, then the variant's own.
"""

from __future__ import annotations

import yaml

from labkit.lab.file.problems import FileProblem, suggestion
from labkit.lab.file.yaml_source import Data, Path, Source
from labkit.names import in_any_case

VARIANTS = "variants"
_DESCRIPTION, _PROOFS, _NOT_IN = "description", "proofs", "not_in"
_FIXED = {
    "name": ("every variant has the lab's own name.", "Remove it: a lab of another name is a file of its own."),
    VARIANTS: ("a variant can't have variants.", "Remove it: variants can't be nested."),
}

# Like the loader: libyaml's is ten times faster, and may be missing.
_DUMPER: type[yaml.SafeDumper] | type[yaml.CSafeDumper] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_NULL_ALONE = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith(":null")]
    for first, resolvers in _DUMPER.yaml_implicit_resolvers.items()
}


class _Plain(_DUMPER):  # type: ignore[misc, valid-type]
    """Quotes nothing but what would be null: to a lab file every other scalar is text."""

    yaml_implicit_resolvers = _NULL_ALONE


def variant_names(source: Source) -> list[str]:
    """The names of a file's variants, in its order, those with mistakes included."""
    found = source.data.get(VARIANTS) if isinstance(source.data, dict) else None
    return list(found) if isinstance(found, dict) else []


def patched(source: Source, variant: str) -> Source:
    """The values of a file in one of its variants. Each keeps its line in the file."""
    return _Patch(source, variant).applied()


def as_text(source: Source) -> str:
    """The values of a file as YAML, without its comments."""
    text: str = yaml.dump(source.data, Dumper=_Plain, sort_keys=False, allow_unicode=True, default_flow_style=None)
    return text


class _Patch:
    def __init__(self, source: Source, variant: str) -> None:
        self.source = source
        self.variant = variant
        # Where the file has what the patch brings or removes, by its path in the result.
        self.origins: dict[Path, Path] = {}
        self.problems = list(source.problems)

    def applied(self) -> Source:
        base, patch = self._mapping(()), self._mapping((VARIANTS, self.variant))
        for key, (text, remedy) in _FIXED.items():
            if key in patch:
                self._error((key,), key, text, remedy)
        changes = {k: v for k, v in patch.items() if k not in {*_FIXED, _DESCRIPTION, _PROOFS}}
        data = self._merge({k: v for k, v in base.items() if k != VARIANTS}, changes, (), self._written(()))
        positions = self._add_proofs(data, patch.get(_PROOFS))
        lines: dict[Path, int] = {}
        self._place(data, (), (), lines)
        for path, origin in self.origins.items():
            lines.setdefault(path, self.source.line(origin))  # what was removed
        return Source(data, lines, tuple(self.problems), self.variant, positions)

    def _mapping(self, path: Path) -> dict[str, Data]:
        """The mapping at `path`. Anything else there is a mistake in the file itself, and found there."""
        data = self.source.data
        for step in path:
            data = data.get(str(step)) if isinstance(data, dict) else None
        return data if isinstance(data, dict) else {}

    def _written(self, path: Path) -> Path:
        """The place in the file of what the patch has at `path`."""
        return (VARIANTS, self.variant, *path)

    def _error(self, path: Path, about: str, text: str, remedy: str) -> None:
        self.problems.append(FileProblem(self.source.line(self._written(path)), f"{about}: {text}", remedy))

    def _merge(
        self, base: dict[str, Data], patch: dict[str, Data], path: tuple[str, ...], written: Path
    ) -> dict[str, Data]:
        """The values at `path` with those of the patch, which the file has at `written`."""
        result = dict(base)
        for spelled, value in patch.items():
            key = (in_any_case(spelled, base) if _has_names(path) else None) or spelled
            here, there, former = (*path, key), (*written, spelled), base.get(key)
            if isinstance(value, dict) and isinstance(former, dict):
                result[key] = self._merge(former, value, here, there)
                continue
            self.origins[here] = there
            if isinstance(value, dict):
                result[key] = self._merge({}, value, here, there)
            elif value is not None:
                result[key] = value
            elif key in base:
                del result[key]
            else:
                text = "null removes a value, and there is none."
                remedy = suggestion(key, [*base], "keys there")
                self.problems.append(FileProblem(self.source.line(there), f"{'.'.join(here)}: {text}", remedy))
        return result

    def _add_proofs(self, data: dict[str, Data], own: Data) -> tuple[int, ...]:
        """Completes the proofs of `data`; returns the position of each in the list that it was written in."""
        if own is not None and not isinstance(own, list):
            self.origins[_PROOFS,] = self._written((_PROOFS,))
            data[_PROOFS] = own
        former = data.get(_PROOFS)
        if not isinstance(former, list) and not isinstance(own, list):
            return ()
        former, own = former if isinstance(former, list) else [], own if isinstance(own, list) else []
        kept = [i for i, proof in enumerate(former) if not self._left_out(proof)]
        for i, proof in enumerate(own):
            self.origins[_PROOFS, len(kept) + i] = self._written((_PROOFS, i))
            if isinstance(proof, dict) and _NOT_IN in proof:
                text = "not_in: a proof of a variant applies to that variant only."
                self._error((_PROOFS, i, _NOT_IN), f"proof {i + 1}", text, "Remove not_in.")
        self.origins |= {(_PROOFS, new): (_PROOFS, old) for new, old in enumerate(kept)}
        data[_PROOFS] = [_everywhere(proof) for proof in (*(former[i] for i in kept), *own)]
        return (*kept, *range(len(own)))

    def _left_out(self, proof: Data) -> bool:
        variants = proof.get(_NOT_IN) if isinstance(proof, dict) else None
        return self.variant in variants if isinstance(variants, list) else self.variant == variants

    def _place(self, data: Data, path: Path, origin: Path, lines: dict[Path, int]) -> None:
        """Notes the lines of `data`, which is at `path` here, and in the file at `origin` unless noted elsewhere."""
        origin = self.origins.get(path, origin)
        lines[path] = self.source.line(origin)
        pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
        for step, value in pairs:
            self._place(value, (*path, step), (*origin, step), lines)


def _has_names(path: tuple[str, ...]) -> bool:
    """Whether the keys of a mapping are names, in which Azure ignores case."""
    match path:
        case (section,):
            return section != VARIANTS
        case (_, _, "nics" | "subnets" | "prepend"):
            return True
        case _:
            return False


def _everywhere(proof: Data) -> Data:
    return {k: v for k, v in proof.items() if k != _NOT_IN} if isinstance(proof, dict) else proof
