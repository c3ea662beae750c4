"""The daemons that there are."""

from __future__ import annotations

from collections.abc import Mapping

from labkit.daemons.bird.daemon import BIRD
from labkit.daemons.frr.daemon import FRR
from labkit.daemons.protocol import Daemon

DEFAULT = "frr"
"""The daemon of a router that names none."""

DAEMONS: Mapping[str, Daemon] = {each.name: each for each in (FRR, BIRD)}
"""Every daemon by the name that a router's `daemon` has."""
