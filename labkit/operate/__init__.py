"""What people do with a running lab; each verb's work, without its printing.

Rooms: `records` (which labs there are), `look` (what one shows of itself), `verify`, `diff`, `trace`, `labs` (up,
down), `faults`, `measure`; the modules `changes`, `apply` and `whatif` make changes or try them. Nodes are reached
through `runtimes` and the controller through its API alone. May import all rooms but `cli` and `pytest`. Nothing here
prints or exits: callers are `labkit.cli` and `labkit.pytest`.
"""
