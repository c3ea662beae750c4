"""A packet's way through a lab, from table to table, whatever the tables are read from. Pure.

`walker` follows packets. It reads a lab's tables (`routing`) and what connects its nodes (`lab_map`), has nodes decide
by their own tables and rules (`nodes`) and the fabric by `labkit.azure.forwarding`, chooses among equal next hops as
it is asked to (`follow`), and gives whole ways (`steps`); `transit` is a way that still goes on.

`labkit.predict.tables` has the tables of a prediction, `labkit.operate.trace.tables` those of a running lab. May import
`azure` and `lab`, and nothing else of `predict`.
"""
