"""The sandbox runtime: a lab is one process tree in Linux namespaces of its own (design 3.2).

`runtime.SandboxRuntime` is what callers use. `launcher` and the modules it imports run inside, in a fresh interpreter.
"""
