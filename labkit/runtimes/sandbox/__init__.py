"""The sandbox runtime: a lab is one process tree in Linux namespaces of its own.

`runtime.SandboxRuntime` is what callers use. `launcher` and the modules it imports run inside, in a fresh
interpreter: keep their imports few. `state` is the only thing on disk; killing the first process removes everything
else. May import `runtimes` and `runtimes.image`.
"""
