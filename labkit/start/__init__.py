"""How a node's services start, on every runtime.

`node_init` is a node's first process; `frr` starts FRR's daemons in their order and marks them as ready, `bird` starts
BIRD; `listening` hands a service its socket. In the sandbox Python services are forks of one process, `warm`, for a
`warm_client` each.
s6 supervises all of it: `supervised` and `finished` in `images/node/labkit` run a service and decide when it restarts.
Runs in nodes, where every boot waits for it: modules import as little as they can.
It may import `daemons` and what is for all rooms; nothing imports it. `warm` imports the services by their names.
"""
