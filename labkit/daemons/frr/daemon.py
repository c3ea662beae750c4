"""FRR, from its parts."""

from __future__ import annotations

from labkit.daemons.frr import config, control, decide, gateway, tables
from labkit.daemons.frr.services import SERVICES
from labkit.daemons.protocol import Daemon

FRR = Daemon("frr", config, SERVICES, tables, decide, control, gateway)
