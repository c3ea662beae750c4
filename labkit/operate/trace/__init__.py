"""A packet's way through a running lab."""
