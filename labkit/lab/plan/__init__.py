"""A lab as nodes, links and files."""
