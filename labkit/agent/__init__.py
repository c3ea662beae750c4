"""The VM agent: what the feed says becomes this node's kernel FIB.

`feed_table` holds what the controller sent, `kernel_routes` maps it to kernel objects and works out the difference,
`netlink` carries that to the kernel in batches, `fib` puts the three together, `uplink` watches the NIC, `agent` is
the loop around them.
"""
