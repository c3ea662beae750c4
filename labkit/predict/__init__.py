"""The network as the rules say it converges. Pure."""
