"""What is wrong with a lab file beyond its shapes: names, references, ranges, addresses, Azure's refusals, proofs."""

from __future__ import annotations

from labkit.lab.addressing import Addresses, assign
from labkit.lab.build import build_azure
from labkit.lab.check_addresses import check_addresses
from labkit.lab.check_azure import check_azure
from labkit.lab.check_names import check_names
from labkit.lab.check_proofs import check_proofs
from labkit.lab.check_ranges import check_ranges
from labkit.lab.check_references import check_references
from labkit.lab.check_routing import check_routing
from labkit.lab.draft import Draft


def check(draft: Draft) -> Addresses:
    """Notes every mistake of the sound part of a file in the draft, and gives the addresses of its nodes.

    References come before everything that follows them: what refers to nothing counts as left out, so that one
    wrong name is one mistake.
    """
    names = check_names(draft)
    check_references(draft, names)
    check_ranges(draft)
    check_addresses(draft)
    addresses = assign(draft)
    check_azure(draft, build_azure(draft, addresses))
    check_routing(draft)
    check_proofs(draft, names)
    names.report_unknown(draft)
    return addresses
