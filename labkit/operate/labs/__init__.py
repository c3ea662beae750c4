"""Labs on this machine: up, down, records, power."""
