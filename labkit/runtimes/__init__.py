"""Where labs run: the sandbox and containerlab, behind one protocol.

`protocol` is what callers may rely on, `topology` reads the rendered containerlab file, which is all that a runtime
gets; `select` gives the runtime by name. May import what is for all rooms, and nothing that knows of Azure (`image`
asks `daemons` what to install). What one runtime does, the other must do: tests/e2e/test_both_runtimes.py compares
them.
"""
