"""Azure Resource Manager's view of a lab: resources, and the ways in and out.

`ids` and `resource` are the values, `shape` reads and writes their JSON as ARM and `az` have it. The lab file is what a
lab is; resources are a view of it and a way to change it. Pure. May import `azure`, `lab` and `errors`.
"""
