"""What traffic loses while something breaks.

`flow_probe` sends numbered packets from a node, `flows` runs it at both ends, `packets` has what became of each,
`flow_loss` sums it up, `failover` runs a user's command in the middle of it. Times are in seconds. May import
`operate.labs` and `operate.look`; it changes nothing in the lab but what the user's command does.
"""
