"""The process in an appliance that withdraws its own prefixes while the service behind it is out of order.

`judge` decides from the probes' results (pure), `__main__` probes and has the daemon withdraw. May import
`feed.service` and `daemons`. What is probed and withdrawn is in the lab file (`tracks`), never here.
"""
