"""The path of a packet through a running lab, and which route decided at each hop.

`walk` follows the packet from table to table, `tables` reads them from nodes, `choice` explains why a route won,
`run` adds a real traceroute for comparison. Reads only, but for the traceroute's packets. May import `azure`, `lab`
and `operate.look`.
"""
