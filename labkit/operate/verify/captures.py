"""Tables of a running lab next to those that people published from real Azure, row by row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from labkit.azure.model import NextHopType
from labkit.azure.rules.rows import LearnedTable
from labkit.feed.state import Listing
from labkit.lab.proofs import Capture, Cells, TableKind, TableName
from labkit.lab.sessions import peer_name
from labkit.operate.look.live_state import LiveState


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """A row of a published table, of this lab's, or of both; `because` is the lab file's reason if it is of one."""

    cells: Cells
    azure: bool
    here: bool
    because: str = ""

    @property
    def same(self) -> bool:
        """Whether both tables have it."""
        return self.azure and self.here

    @property
    def ok(self) -> bool:
        """Whether it is as the lab file has it: in both tables, or in one of them for a reason."""
        return self.same if not self.because else self.azure != self.here


@dataclass(frozen=True, slots=True)
class Comparison:
    """A published table next to this lab's: rows as they were published, then those that only this lab has."""

    claim: Capture
    rows: tuple[ComparedRow, ...]

    @property
    def problem(self) -> str | None:
        """What the lab file does not account for, in words; None if there is nothing."""
        wrong = [row for row in self.rows if not row.ok]
        texts = [f"{' '.join(cell or '-' for cell in row.cells)} {_what(row)}" for row in wrong]
        return "; ".join(texts) + f". Look: labkit {self.claim.table}" if texts else None


def _what(row: ComparedRow) -> str:
    if row.same:
        return "is here as in Azure, though the lab file lists it as different"
    if not row.azure and not row.here:
        return "is neither in Azure's table nor here, though the lab file lists it as here"
    return "is in Azure's table, not here" if row.azure else "is here, not in Azure's table"


def compare(claim: Capture, live: LiveState) -> Comparison:
    """A published table next to the lab's own.

    Raises:
        LabkitError: the lab's table can't be read.
    """
    return compared(claim, rows_of(claim.table, live))


def compared(claim: Capture, here: Iterable[Cells]) -> Comparison:
    """A published table next to these rows."""
    reasons = {row: each.because for each in claim.otherwise for row in (*each.azure, *each.here)}
    azure = dict.fromkeys((*claim.rows, *(row for each in claim.otherwise for row in each.azure)))
    found = dict.fromkeys(here)
    wanted_here = [row for each in claim.otherwise for row in each.here]
    rows = dict.fromkeys((*azure, *found, *wanted_here))
    return Comparison(claim, tuple(ComparedRow(r, r in azure, r in found, reasons.get(r, "")) for r in rows))


def rows_of(table: TableName, live: LiveState) -> Iterator[Cells]:
    """The rows of a table of the lab, as Azure prints them."""
    return (tuple(str(row[column]) for column in table.kind.columns) for row in _rows(table, live))


def _rows(table: TableName, live: LiveState) -> Iterator[Mapping[str, object]]:
    """Rows by the names of their columns in Azure's JSON."""
    match table.kind, table.names:
        case ((TableKind.LEARNED | TableKind.ADVERTISED), (server, peer)):
            which: Listing = "learned" if table.kind is TableKind.LEARNED else "advertised"
            rows_of_instances = live.state.listing(which, server, peer_name(live.lab, peer)).values()
            yield from (row for rows in rows_of_instances for row in rows)
        case TableKind.GATEWAY, (gateway,):
            yield from live.client.fetch(LearnedTable, "gateways", gateway, "learned-routes")["value"]
        case TableKind.BGP, (node,):
            for path in live.bgp(node).paths:
                text = "-".join(map(str, path.as_path))
                yield {"network": path.prefix, "nextHop": path.next_hop, "asPath": text}
        case _, (nic,):
            for row in live.effective(nic)["value"]:
                if row["state"] == "Active" and row["nextHopType"] != NextHopType.NONE:
                    for hop in row["nextHopIpAddress"] or [""]:
                        yield {**row, "addressPrefix": row["addressPrefix"][0], "nextHopIpAddress": hop}
