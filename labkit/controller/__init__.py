"""The lab's control plane while it runs: desired state, learned routes, effective routes, API, event log.

One process in a node of its own. It takes what instances and gateways report, asks `azure.rules` for the conclusions
and sends them to agents and fabrics as differences. May import `azure`, `lab` and `feed`; no other room imports it.
What it decides belongs in `azure`, what it sends in `feed`.
"""
