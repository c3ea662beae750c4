"""The process next to a gateway's FRR: its sessions and routes to the controller, its settings back to FRR.

`bmp` reads what the daemon receives (RFC 7854), `state` is what is reported, `service` the loop, which reaches the
daemon by `daemons.protocol.GatewayControl`. May import `azure.model`, `daemons` and `feed`. What a gateway advertises
is decided by `azure.rules.gateway_policy` and carried out by the daemon's configuration, not here.
"""
