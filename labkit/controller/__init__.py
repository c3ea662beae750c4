"""The lab's control plane while it runs: desired state, learned routes, effective routes, API, event log.

One process in a node of its own. It takes what instances and gateways report (`controller`), has `azure.rules` conclude
from it (`platform`, `gateways`), and sends the differences to agents and fabrics (`tables`, `switch`); `api` answers
operators, `events` and `narrate` keep the log, `desired` what was changed. May import `azure`, `lab` and `feed`; no
other room imports it. What it decides belongs in `azure`, what it sends in `feed`.
"""
