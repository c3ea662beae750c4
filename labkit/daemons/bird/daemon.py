"""BIRD, from its parts."""

from __future__ import annotations

from labkit.daemons.bird import config, control, decide, installation, tables
from labkit.daemons.bird.services import SERVICES
from labkit.daemons.protocol import Daemon

BIRD = Daemon("bird", config, installation, SERVICES, tables, decide, control)
