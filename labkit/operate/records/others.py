"""Labs that this user did not start but may use: another user's, or plain containerlab's.

Only Docker has such labs: whoever may use the engine may do anything with its containers. A sandbox belongs to the
user who started it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from labkit.errors import EnvironmentProblem
from labkit.operate.records.record import Record
from labkit.runtimes.select import CONTAINERLAB


def others(own: Iterable[Record], silent: Callable[[EnvironmentProblem], None] = lambda _: None) -> list[Record]:
    """Records of labs on the Docker engine that are not this user's own; none where no engine answers.

    Such a record has no lab file and no directory. `silent` is called if there is an engine that does not answer.
    """
    # The SDK takes long to load, and most verbs never come here.
    from labkit.runtimes.containerlab.docker_engine import EngineIsSilent, containers  # noqa: PLC0415
    from labkit.runtimes.containerlab.nodes import LAB  # noqa: PLC0415

    known = {record.lab for record in own if record.runtime == CONTAINERLAB}
    try:
        found = containers({"labkit-lab": "", LAB: ""})
    except EngineIsSilent as problem:
        silent(problem)
        return []
    except EnvironmentProblem:
        return []
    labs: dict[str, Record] = {}
    for each in found:
        name = str(each["Labels"][LAB])
        if name not in known:
            variant = str(each["Labels"].get("labkit-variant", ""))
            labs[name] = Record(name, CONTAINERLAB, "", str(each["Image"]), float(each["Created"]), variant)
    return [labs[name] for name in sorted(labs)]
