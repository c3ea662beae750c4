"""What a change would change, by the rules. Pure."""
