"""What a lab is made of as nodes, links and files, which a runtime boots: the values, names and addresses of a plan.

`model` has a plan's values, `nodes`, `addressing` and `macs` the names and addresses that nodes have, `wires` and
`tunnels` the links, `router_node` and `common` parts of nodes, `speakers` the BGP speakers that `daemons` configures.
The nodes of each kind of object are in `kinds`, and `labkit.lab.build` puts a plan together. Pure; may not import
`kinds`. `render` turns a plan into files, and nothing else reads it to boot.
"""
