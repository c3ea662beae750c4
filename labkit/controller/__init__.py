"""The lab's platform while it runs: desired state, learned routes, effective routes, API, event log."""
