"""How far the tests go: `make test` has a quarter of an hour on two cores, `make soak` takes its time.

What the short suite leaves to the long one, and why that is safe, is in CONTRIBUTING.md under "The two suites".
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

VARIABLE = "LABKIT_SOAK"
"""The environment variable that asks for the long suite: the number of random labs to boot."""

LONG = VARIABLE in os.environ
CHAOS = int(os.environ.get("LABKIT_CHAOS", "0"))
"""How many labs of all kinds random steps befall, for `make chaos`; 0: the short suite's few."""
RANDOM_LABS = int(os.environ.get(VARIABLE, "3"))

# A busy machine is no reason for a property to fail.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def load_profile() -> None:
    """Set the number of examples that each property is tried with, and where they come from.

    The short suite has the same ones in every run, so that a change which fails is the change at fault; the long one
    looks for new ones.
    """
    settings.register_profile("ci", _PATIENT, max_examples=25, derandomize=True)
    settings.register_profile("soak", _PATIENT, max_examples=1000)
    settings.load_profile("soak" if LONG else "ci")
