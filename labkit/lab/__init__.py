"""Lab files: schema and errors, addresses, the plan, proofs."""
