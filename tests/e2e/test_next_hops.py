"""Next hops that are not the neighbour itself: which paths gateways, FRR and BIRD accept, use and advertise."""

from __future__ import annotations

from labkit.pytest import Boot
from tests.e2e.by_the_rules import astray, unlike
from tests.e2e.in_lab import lab_file, problems
from tests.e2e.waiting import SOON


def test_every_table_is_as_predicted(labkit_lab: Boot) -> None:
    """The lab's proofs have what the prediction rests on."""
    lab = labkit_lab(lab_file("next-hops"))
    assert problems(lab, SOON) == []
    assert unlike(lab.lab, lab.lab.azure, lab.client) == []
    assert astray(lab.lab, lab.client) == []
