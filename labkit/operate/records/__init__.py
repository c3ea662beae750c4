"""Which labs there are on this machine.

A lab's record is written before anything of the lab exists and removed after everything is gone, by renames; `record`
also has the lock that keeps two `up`s of one lab apart, and `others` finds labs of other users on Docker. May import
`runtimes`, `errors` and `paths`.
"""
