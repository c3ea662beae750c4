"""The process next to a gateway's FRR: its sessions and routes to the controller, its settings back to FRR.

`bmp` reads what FRR receives (RFC 7854), `frr` switches its sessions, `state` is what is reported, `service` the
loop. May import `azure.model` and `feed`. What a gateway advertises is decided by `azure.rules.gateway_policy` and
carried out by FRR's configuration, not here.
"""
