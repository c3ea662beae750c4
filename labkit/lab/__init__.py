"""Labs: from a lab file to a checked `Lab`, and from there to a plan of nodes, links and files.

`model`, `proofs` and `sessions` are the values and what follows from them; `file`, `kinds` and `plan` are rooms of
their own. Above these, `compile` runs the kinds' hooks stage by stage, `load` makes a lab of a file, `json_schema`
describes such files to editors, `build` makes a lab's plan, `fabric_ports` what a fabric switches; `running`, `edited`
judge what may become of a lab that runs. Pure but for reading the file. May import `azure`, `daemons`, `errors`,
`paths`.
"""
