"""The process next to a gateway's BGP daemon: sessions and routes to the controller, settings back to the daemon.

`bmp` decodes what the daemon reports (RFC 7854), `monitor` reads it and waits for the `kernel` to have the routes,
`state` is what is reported to the controller, `service` the loop, which reaches the daemon by
`daemons.protocol.GatewayControl`. May import `azure.model`, `daemons` and `feed`. What a gateway advertises is decided
by `azure.rules.gateway_policy` and carried out by the daemon's configuration, not here.
"""
