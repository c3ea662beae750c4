"""The nodes' image."""
