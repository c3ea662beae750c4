"""What the controller hears a gateway's instance by, and tells it by: beside its FRR, one process."""
