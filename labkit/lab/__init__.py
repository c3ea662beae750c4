"""Lab files: from YAML to a checked `Lab`, and from there to a plan of nodes, links and files.

`file` reads and reports mistakes with their lines, `kinds` has a file for each kind of object, `compile` runs their
hooks stage by stage, `plan` has the nodes and what is wired to what. Pure but for reading the file. May import
`azure`, `errors` and `paths`. Error texts are golden files (tests/golden/errors).
"""
