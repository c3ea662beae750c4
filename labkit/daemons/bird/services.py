"""BIRD in a node."""

from __future__ import annotations

from labkit.daemons.protocol import Services

SERVICES = Services(names=("bird",), bgp="bird", capabilities=("NET_ADMIN",), monitored={}, console=("birdc",))
