"""FRR's daemons in a node."""

from __future__ import annotations

from labkit.daemons.protocol import Services

SERVICES = Services(
    names=("mgmtd", "zebra", "staticd", "bgpd"),
    bgp="bgpd",
    # FRR refuses to start without SYS_ADMIN, though it does nothing here that needs it.
    capabilities=("NET_ADMIN", "SYS_ADMIN"),
    monitored={"LABKIT_BGPD_OPTIONS": "-M bmp"},
    console=("vtysh",),
)
