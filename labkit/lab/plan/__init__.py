"""A lab as nodes, links and files: what a runtime boots, without a word on how.

`build` puts it together; `routers`, `gateways`, `platform` and `internet` make the nodes, `wires` and `tunnels` the
links, `speakers` the BGP speakers that `daemons` configures. Pure. `render` turns a plan into files, and nothing else
reads it to boot. Names and addresses of nodes are decided here and nowhere else.
"""
