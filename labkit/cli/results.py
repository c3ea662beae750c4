"""How the outcomes of checks are shown."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TypedDict

from labkit.cli.output import Colour, note, paint, put
from labkit.operate.verify.captures import Comparison
from labkit.operate.verify.run import Outcome

SAME_ROWS = 8
"""How many of the rows that are in both the published table and the lab's are printed."""


def failures(outcomes: Iterable[Outcome], show: Callable[[str], None] = note) -> list[Outcome]:
    """Show the checks that failed, and return them."""
    bad = [outcome for outcome in outcomes if not outcome.ok]
    for outcome in bad:
        where = f"  (line {outcome.line})" if outcome.line else ""
        mark = paint("✗", Colour.RED, sys.stderr if show is note else sys.stdout)
        show(f" {mark} {outcome.title}{where}\n     {outcome.problem}")
    return bad


def listing(outcomes: Iterable[Outcome]) -> None:
    """Print every outcome, in order; a failed check with its reason, a published table with its rows."""
    for outcome in outcomes:
        if outcome.ok:
            put(f" {paint('✓', Colour.GREEN)} {outcome.title}")
        else:
            failures([outcome], put)
        if outcome.comparison is not None:
            _put_comparison(outcome.comparison)


def _put_comparison(comparison: Comparison) -> None:
    """The rows that both tables have, not all if they are many, then every one that differs, with its reason."""
    same = [row for row in comparison.rows if row.same and row.ok]
    shown = same if len(same) <= SAME_ROWS + 1 else same[:SAME_ROWS]
    others = [row for row in comparison.rows if row not in same]
    columns = comparison.claim.table.kind.columns
    head = tuple(column[0].upper() + column[1:] for column in columns)
    widths = [max(map(len, cells)) for cells in zip(head, *(row.cells for row in (*shown, *others)), strict=True)]

    def line(first: str, cells: Sequence[str]) -> str:
        return f"{first}  " + "  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip()

    put(line("     Azure  lab", head))
    yes, no = paint("✓", Colour.GREEN), "-"
    for row in shown:
        put(line(f"     {yes}      {yes}  ", row.cells))
    if len(shown) < len(same):
        put(f"     … and {len(same) - len(shown)} more in both. All of them: labkit verify --format json")
    because = ""
    for row in sorted(others, key=lambda row: (row.ok, row.because)):
        if row.because and row.because != because:
            put(f"     Differs: {row.because}")
        because = row.because
        there, here = (yes if has else no for has in (row.azure, row.here))
        put(line(f"     {there}      {here}  ", row.cells) + ("" if row.ok else "  " + paint("✗", Colour.RED)))


class ComparisonTable(TypedDict):
    """A published table compared with this lab's, in JSON; rows have Azure's columns, `inAzure`, `inLab`, `because`."""

    table: str
    source: str
    rows: list[dict[str, str | bool]]


def comparison_json(comparison: Comparison) -> ComparisonTable:
    """A published table compared with this lab's, complete, for programs."""
    columns = comparison.claim.table.kind.columns
    return {
        "table": str(comparison.claim.table),
        "source": comparison.claim.source,
        "rows": [
            {
                **dict(zip(columns, row.cells, strict=True)),
                "inAzure": row.azure,
                "inLab": row.here,
                "because": row.because,
            }
            for row in comparison.rows
        ],
    }
