"""Labs on this machine from start to end: up, down, what the machine lacks.

`lifecycle` takes a lab up and down, whole or not at all, also when it is interrupted (`interrupt`); `doctor` examines
the machine, `host_command` runs a user's command during a measurement. May import all rooms below. What it makes, it
records first (`operate.records`), so that `down` always finds it.
"""
