"""The routing daemons that nodes outside Azure, gateways and circuits run: a folder each.

A daemon's folder has what is particular to it: how it is configured, started and asked. What is in here runs in nodes
and outside, so it imports the standard library and lower rooms only.
"""
