"""Where a running lab is not what the rules predict, row by row.

`bgp` compares every speaker's tables with the converged network of `predict`, `outside` the routers of customers,
`run` puts them together with what `verify` finds in kernels and fabrics. Reads only. May import `operate.verify` and
all rooms below it. A difference names the place, both values and a command that shows them.
"""
