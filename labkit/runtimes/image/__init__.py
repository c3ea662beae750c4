"""The nodes' image: Debian packages, labkit's Python, and services, in layers that both runtimes use.

`definition` has what belongs in it and its digest, `debian` and `python` build layers, `images` keeps them in the
cache, `run` starts builds without Docker. May import `daemons`, `runtimes`, `resources` and `errors`. The image's own
files are in the top-level folder `images/`.
"""
