"""FRR, from its parts."""

from __future__ import annotations

from labkit.daemons.frr import config, control, decide, gateway, installation, tables
from labkit.daemons.frr.services import SERVICES
from labkit.daemons.protocol import BmpHabits, Daemon

BMP = BmpHabits(own_asn_in_front=True, up_since_boot=True, stalls_after_down=True)
"""FRR encodes what it has from an eBGP neighbour as it would send it to that neighbour."""

FRR = Daemon("frr", config, installation, SERVICES, tables, decide, control, gateway, BMP)
