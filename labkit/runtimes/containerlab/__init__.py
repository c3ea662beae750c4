"""The containerlab runtime: genuine containerlab for links, the Docker engine for everything else.

`tool` runs the program, `docker_engine`, `docker_exec`, `docker_files` and `docker_images` use Docker's API,
`leftovers` removes what a killed deployment left. May import `runtimes` and `runtimes.image`. Names of labels and
containers are containerlab's own.
"""
