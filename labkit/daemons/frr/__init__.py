"""FRR 10.3: all that labkit knows of its text, JSON, commands, sockets and files.

`config`, `services`, `tables`, `decide` and `control` are the parts of `daemons.protocol`, `installation` prepares the
nodes' image, `gateway` works in the node of a gateway's instance; `daemon` joins them. All but these two are pure. May
import `daemons` and what `daemons` may. In every node, `config_files` cuts frr.conf into what each daemon reads, `vty`
asks a running one. The templates are `templates/frr*.j2`; the tests have its JSON as it was printed in labs.
"""
