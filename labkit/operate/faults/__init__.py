"""Faults: what breaks a running lab and leaves its Azure model as it is.

A kind of fault is a file with `begin`, `end` and `describe`, and a line in `registry.FAULTS`: docs/adding-a-fault.md.
What changes Azure's objects is a change (`azure.changes`), not a fault. A fault reaches nodes through the runtime, and
the event log through the controller's API. May import `operate.look` and all rooms below it; nothing here prints.
"""
