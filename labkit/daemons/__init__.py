"""The BGP daemons that route in appliances, sites, gateways and circuits; a folder each, behind one protocol.

`protocol` is what a daemon must offer, `speaker` and `tables` are the values that go in and out, `registry` lists the
daemons. Only a daemon's folder knows its text, JSON, commands and files. It runs in nodes and outside, so it imports
the standard library and `azure`. A new daemon is a folder, a line of the registry, templates and tests.
"""
