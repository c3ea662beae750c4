"""Every mistake that a lab file can hold, and the text that its reader gets.

`errors/<mistake>.lab.yml` is the file, `errors/<mistake>.txt` what labkit prints for it. After a change of wording run
with LABKIT_UPDATE_GOLDEN=1 and read the difference before committing it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.lab.file.problems import LabFileError
from labkit.lab.load import read_all_text
from tests.golden.texts import compare

ERRORS = Path(__file__).parent / "errors"
FILES = sorted(ERRORS.glob("*.lab.yml"))


def text_of(file: Path) -> str:
    try:
        base, *_ = read_all_text(file.read_text(encoding="utf-8"), file.name)
    except LabFileError as error:
        return f"{error.message}\n"
    return "".join(f"{p.show(file.name)}\n" for p in base.warnings) + "0 errors.\n"


@pytest.mark.parametrize("file", FILES, ids=[f.name.removesuffix(".lab.yml") for f in FILES])
def test_error_text(file: Path) -> None:
    golden = file.with_name(file.name.replace(".lab.yml", ".txt"))
    actual = text_of(file)
    compare(actual, golden)


def test_no_golden_text_without_its_file() -> None:
    texts = {f.name.removesuffix(".txt") for f in ERRORS.glob("*.txt")}
    assert texts == {f.name.removesuffix(".lab.yml") for f in FILES}


def test_goldens_are_errors_or_warnings() -> None:
    assert [f.name for f in FILES if text_of(f) == "0 errors.\n"] == []
