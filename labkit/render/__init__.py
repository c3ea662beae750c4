"""From a plan to files: the containerlab topology and every configuration it names.

`environment` sets up Jinja, `render` writes the folder. May import `lab.plan`, `errors` and `resources`. Templates
are in the top-level folder `templates/`; what they show is decided in the plan, and golden files
(tests/golden/render) have every byte.
"""
