"""labkit: an Azure Route Server laboratory on one Linux machine.

Each package is a room with one job; imports go one way between them (`tests/unit/test_house.py` has the order, and
CONTRIBUTING.md the map). `errors`, `paths`, `patience`, `resources`, `small_files`, `inotify`, `linux` and `netlink`
are for all rooms and import none of them. `pytest` is the plugin for users' own tests. The modules `python -m
labkit.ROOM` starts are the processes of nodes.
"""

__version__ = "0.1.0"
