"""BIRD 2.17: all that labkit knows of its configuration, output, commands and files.

The modules are the parts of `daemons.protocol`; `cli` asks a running one, `daemon` joins them. All but `installation`
are pure. May import `daemons` and what `daemons` may. The template is `templates/bird.conf.j2`; the tests have BIRD's
output as it was printed in labs. It routes in NVAs; it is neither a gateway nor a circuit's edge.
"""
