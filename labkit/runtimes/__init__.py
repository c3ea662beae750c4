"""Where labs run: the sandbox and containerlab, behind one protocol.

`protocol` is what callers may rely on, `topology` reads the rendered containerlab file, which is all that a runtime
gets; `select` gives the runtime by name. May import `errors`, `paths` and `resources`, and nothing that knows of
Azure. What one runtime does, the other must do: tests/e2e/test_both_runtimes.py compares them.
"""
