"""The containerlab runtime, on Docker."""
