"""Lab files: from YAML to a checked `Lab`, and from there to a plan of nodes, links and files.

`file` reads and reports mistakes with their lines, the modules here check names, references and ranges and give
addresses, `plan` says which nodes there are and what is wired to what. Pure but for reading the file. May import
`azure`, `errors` and `paths`. Error texts are golden files (tests/golden/errors).
"""
