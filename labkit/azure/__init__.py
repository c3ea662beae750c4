"""Azure's objects and the rules of its routing, as pure functions over immutable values.

`model` has the objects, `rules` decides by them, `changes` makes one model of another, `forwarding` is what the fabric
does with a packet, `flows` which of several next hops it takes. Nothing here reads a clock, a file or a socket, and
nothing of labkit is imported but `errors`. A rule is changed together with its fact in docs/fidelity.yml, its table of
cases in tests/unit/azure, and a proof in real kernels.
"""
