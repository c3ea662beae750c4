"""The path of a packet through a running lab, and which route decided at each hop.

`tables` reads the tables of nodes and controller for `predict.walk`, `explain` puts its steps into words, `choice` has
the reasons why a route won, `run` adds a real traceroute for comparison. Reads only, but for the traceroute's packets.
May import `azure`, `lab`, `predict` and `operate.look`.
"""
