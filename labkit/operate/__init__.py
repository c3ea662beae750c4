"""What people do with a running lab; each verb's work, without its printing.

Rooms: `records` (which labs there are), `look` (what one shows of itself), `verify`, `diff`, `trace`, `labs` (up,
down), `faults`, `measure`. They reach nodes through `runtimes` and the controller through its API alone. Nothing here
prints or exits: callers are `labkit.cli` and `labkit.pytest`.
"""
