"""The process behind each ExaBGP of a route server: its wire, Adj-RIB-In, policy, Adj-RIB-Out.

`keeper` owns ExaBGP's pipes and restarts the `worker`, which holds the state: `wire` parses and writes ExaBGP's JSON
and commands, `rib` and `policy` ask `azure.rules`, `recovery` asks peers again after a crash. May import `azure`,
`daemons.notifications` and `feed`. ExaBGP's habits are in docs/exabgp.md.
"""
