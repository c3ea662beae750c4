"""The VM agent: feed in, kernel FIB out."""
