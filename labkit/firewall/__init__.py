"""An instance of an Azure Firewall: rules in from the controller, an nftables table out.

`service` is the loop and the answer to health probes, `program` the table made of the rules (pure). May import `azure`,
`feed` and `errors`. What the node drops while there is no table, and what it translates, is in its own nftables file.
"""
