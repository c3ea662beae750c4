"""The switch of a virtual network: forwarding tables in from the controller, an nftables program out.

`service` is the loop, `state` what the controller has sent, `program` the ruleset made of it (pure), `loader` and
`bridge` the only modules that touch the kernel. May import `azure.model`, `feed` and `errors`. It never asks why a
route exists: that is decided in `azure.rules`.
"""
