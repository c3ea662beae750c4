"""The VM agent: the tables of the feed become this node's kernel FIB, a routing table for each NIC.

`feed_table` holds what the controller sent, `kernel_routes` maps it to kernel objects and works out the difference,
`netlink` carries that to the kernel in batches, `fib` puts the three together, `uplink` watches the NIC, `agent` is
the loop around them. May import `azure.model`, `lab.plan` and `feed`. Which routes there are is decided in `azure`.
"""
