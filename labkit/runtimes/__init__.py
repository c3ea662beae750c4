"""Where labs run: the sandbox and containerlab, and their images."""
