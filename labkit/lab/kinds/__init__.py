"""The kinds of objects in a lab, a file each: what `labkit.lab.compile` makes a lab of.

Each gives the same hooks, `kind.Kind`: its section of the lab file, names, references, ranges, addresses, checks,
Azure's objects, the lab's, nodes and links. A new kind is a file and a line in `registry.KINDS`: docs/adding-a-kind.md.
A kind may import those that it refers to, never in a circle; what several share is in `kind`, `names`, `nouns`,
`addresses`, `machine`, and in `labkit.lab.plan`.
"""
