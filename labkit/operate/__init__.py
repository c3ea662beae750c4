"""What people do with a running lab: probes, proofs, traces, measurements."""
