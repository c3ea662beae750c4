"""Whether a running lab is what its file claims, what Azure published and what the rules require.

`checks` are the proofs of the lab file, `captures` the published tables, `oracle` and `fabric_check` compare kernels
and fabrics with the rules, `run` waits for all of it until a deadline. Reads only, but for the packets of proofs. May
import `operate.look` and all rooms below it. A new proof begins in `labkit.lab.proofs`.
"""
