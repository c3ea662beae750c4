"""FRR 10.3, the router of NVAs, sites, gateways and circuits.

`config_files` cuts frr.conf into what each of its daemons reads, `vty` asks a running daemon.
What is in here knows FRR's files, sockets and texts, and nothing of Azure; it runs in nodes too.
It may import the standard library only.
"""
