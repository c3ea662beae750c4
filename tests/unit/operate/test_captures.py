"""Published tables beside a lab's: what counts as the same, what as a difference that is accounted for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from labkit.azure.rules.rows import AdvertisedRow, EffectiveRow
from labkit.cli.results import SAME_ROWS, comparison_json, listing
from labkit.lab.proofs import Capture, Cells, Deviation, TableKind, TableName, table_of
from labkit.operate.verify.captures import compared, rows_of
from labkit.operate.verify.checks import describe
from labkit.operate.verify.run import Outcome
from tests.unit.operate.test_checks import overview

BGP = TableName(TableKind.BGP, ("branch",))
ONE, TWO, THREE = (("10.1.0.0/16", "10.9.9.1", "65515"), ("10.2.0.0/16", "10.9.9.1", ""), ("10.3.0.0/16", "", "1"))


def capture(*rows: Cells, otherwise: tuple[Deviation, ...] = ()) -> Capture:
    return Capture(BGP, "a page", rows, otherwise)


def test_the_same_rows_in_another_order_are_the_same() -> None:
    found = compared(capture(ONE, TWO), [TWO, ONE])
    assert found.problem is None
    assert [(row.cells, row.same) for row in found.rows] == [(ONE, True), (TWO, True)]


@pytest.mark.parametrize("column", range(3))
def test_every_column_counts(column: int) -> None:
    other = tuple("other" if i == column else cell for i, cell in enumerate(ONE))
    found = compared(capture(ONE), [other])
    assert [(row.cells, row.azure, row.here, row.ok) for row in found.rows] == [
        (ONE, True, False, False),
        (other, False, True, False),
    ]


def test_a_problem_names_row_side_and_command() -> None:
    found = compared(capture(ONE, TWO), [ONE, THREE])
    assert found.problem == (
        "10.2.0.0/16 10.9.9.1 - is in Azure's table, not here; 10.3.0.0/16 - 1 is here, not in Azure's table. "
        "Look: labkit routes branch --bgp"
    )


DIFFERS = Deviation("a reason", azure=(TWO,), here=(THREE,))


def test_what_differs_for_a_reason_is_no_problem() -> None:
    found = compared(capture(ONE, otherwise=(DIFFERS,)), [ONE, THREE])
    assert found.problem is None
    assert [(row.azure, row.here, row.because) for row in found.rows] == [
        (True, True, ""),
        (True, False, "a reason"),
        (False, True, "a reason"),
    ]


@pytest.mark.parametrize(
    ("here", "problem"),
    [
        ([ONE, TWO, THREE], "10.2.0.0/16 10.9.9.1 - is here as in Azure, though the lab file lists it as different"),
        ([ONE], "10.3.0.0/16 - 1 is neither in Azure's table nor here, though the lab file lists it as here"),
    ],
)
def test_a_difference_that_is_gone_is_a_problem(here: list[Cells], problem: str) -> None:
    assert (compared(capture(ONE, otherwise=(DIFFERS,)), here).problem or "").partition(". Look")[0] == problem


@pytest.mark.parametrize(
    "words",
    ["learned-routes rs1 nva1", "advertised-routes rs1 nva1", "effective-routes vm1", "gateway learned-routes er1"],
)
def test_a_table_is_named_as_its_command(words: str) -> None:
    assert str(table_of(words)) == words


@pytest.mark.parametrize("words", ["", "learned-routes rs1", "routes branch", "gateway advertised-routes er1 c1"])
def test_other_commands_are_no_tables(words: str) -> None:
    assert table_of(words) is None


def test_rows_of_both_instances() -> None:
    def row(instance: int) -> AdvertisedRow:
        return {
            "network": "10.2.0.0/16",
            "nextHop": "10.1.0.4",
            "origin": "Igp",
            "asPath": "65515",
            "weight": 0,
            "localAddress": f"10.1.0.{4 + instance}",
        }

    both = {f"RouteServiceRole_IN_{i}": [row(i)] for i in (0, 1)}
    found = rows_of(TableName(TableKind.ADVERTISED, ("rs1", "nva1")), overview(advertised={"rs1": {"nva1": both}}))
    assert list(found) == [(f"10.1.0.{4 + i}", "10.2.0.0/16", "10.1.0.4", "Igp", "65515", "0") for i in (0, 1)]


def test_effective_rows_are_the_active_ones_a_next_hop_each() -> None:
    rows: list[tuple[str, str, str, str, list[str]]] = [
        ("Default", "Active", "10.1.0.0/16", "VnetLocal", []),
        ("Default", "Active", "10.0.0.0/8", "None", []),
        ("Default", "Invalid", "0.0.0.0/0", "Internet", []),
        ("VirtualNetworkGateway", "Active", "10.2.0.0/16", "VirtualNetworkGateway", ["10.1.1.4", "10.1.1.5"]),
    ]
    value: list[EffectiveRow] = [
        {"source": source, "state": state, "addressPrefix": [prefix], "nextHopType": kind, "nextHopIpAddress": hops}
        for source, state, prefix, kind, hops in rows
    ]
    found = rows_of(TableName(TableKind.EFFECTIVE, ("vm1",)), overview(effective={"vm1": {"value": value}}))
    assert list(found) == [
        ("Default", "10.1.0.0/16", "VnetLocal", ""),
        ("VirtualNetworkGateway", "10.2.0.0/16", "VirtualNetworkGateway", "10.1.1.4"),
        ("VirtualNetworkGateway", "10.2.0.0/16", "VirtualNetworkGateway", "10.1.1.5"),
    ]


def outcome(claim: Capture, here: Sequence[Cells]) -> Outcome:
    comparison = compared(claim, here)
    return Outcome(describe(claim), 7, 30.0, lambda _: None, comparison.problem or "", comparison)


def test_a_listing_shows_the_rows_the_reasons_and_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    listing([outcome(capture(ONE, otherwise=(DIFFERS,)), [ONE, THREE, ("10.4.0.0/16", "", "")])])
    _, *lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == [
        "     Azure  lab  Network      NextHop   AsPath",
        "     ✓      ✓    10.1.0.0/16  10.9.9.1  65515",
        "     -      ✓    10.4.0.0/16  ✗",
        "     Differs: a reason",
        "     ✓      -    10.2.0.0/16  10.9.9.1",
        "     -      ✓    10.3.0.0/16            1",
    ]


def test_a_long_table_is_shortened_in_the_listing_and_whole_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(f"10.{i}.0.0/16", "", "") for i in range(SAME_ROWS + 5)]
    found = outcome(capture(*rows), rows)
    listing([found])
    text = capsys.readouterr().out
    assert f"10.{SAME_ROWS - 1}.0.0/16" in text
    assert f"10.{SAME_ROWS}.0.0/16" not in text
    assert "… and 5 more in both" in text
    assert found.comparison is not None
    assert [row["network"] for row in comparison_json(found.comparison)["rows"]] == [row[0] for row in rows]
