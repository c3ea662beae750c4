"""The network as it converges by the rules, without booting anything, and packets' ways through tables. Pure.

`azure_speakers` exports and imports for route servers and gateways, `customer_routers` for appliances and branches by
their daemons' habits (`daemons.protocol.Decide`), `converge` repeats both until nothing changes. `walk` follows
packets by tables of a prediction (`tables`) or of a running lab. May import `azure`, `daemons` and `lab`.
`surroundings` is what a fabric knows apart from routes. `diff`, `trace` and the random labs compare predictions with
real kernels.
"""
