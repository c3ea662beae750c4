"""The network as it converges by the rules, without booting anything, and packets' ways by it. Pure.

`azure_speakers` exports and imports for route servers and gateways, `customer_routers` for appliances and branches by
their daemons' habits (`daemons.protocol.Decide`), `converge` repeats both until nothing changes. `tables` has what
`walk` follows packets by, `surroundings` what a fabric knows apart from routes, `sessions` which BGP sessions come up.
May import `azure`, `daemons` and `lab`. `diff`, `trace` and the random labs compare predictions with real kernels.
"""
