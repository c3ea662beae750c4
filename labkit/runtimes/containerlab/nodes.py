"""What containers show of a lab's nodes: their names, states and health, by containerlab's labels."""

from __future__ import annotations

from collections.abc import Sequence

from labkit.errors import EnvironmentProblem, LabkitError
from labkit.runtimes.containerlab import docker_exec, leftovers
from labkit.runtimes.containerlab.docker_engine import Container, engine, translated
from labkit.runtimes.containerlab.logs import tail
from labkit.runtimes.protocol import CommandTimeout, Completed, NodeStatus
from labkit.runtimes.topology import NAME_LABEL

LAB, NODE, TOPOLOGY, FOLDER = "containerlab", "clab-node-name", "clab-topo-file", "clab-node-lab-dir"
"""Labels of containerlab's: lab, node, topology file, and the node's folder in containerlab's own one of the lab."""


def name_of(container: Container) -> str:
    """The container's own name."""
    return str(container["Names"][0]).lstrip("/")


def title_of(container: Container) -> str:
    """The name by which people know the node."""
    labels = container["Labels"]
    return str(labels.get(NAME_LABEL) or labels[NODE])


def state_of(container: Container) -> str:
    """The node's state, as `NodeStatus` has it."""
    state = container["State"]
    if state == "running":
        return "running"
    if state in ("created", "restarting"):
        return "starting"
    return "stopped" if leftovers.is_parked(name_of(container)) else "exited"


def nodes_of(found: Sequence[Container], healthy: set[str] | None = None) -> tuple[NodeStatus, ...]:
    """The states of containers; those in `healthy` are so, though the engine may not have looked yet."""
    return tuple(_node(each, healthy or set()) for each in found)


def _node(container: Container, healthy: set[str]) -> NodeStatus:
    node, title = str(container["Labels"][NODE]), title_of(container)
    with translated():
        details = engine().inspect_container(container["Id"])
    state = details["State"]
    now = state_of(container)
    health = ""
    if "Health" in state and now == "running":
        # The engine checks seldom, and reports "starting" until then.
        well = node in healthy or (state["Running"] and is_healthy(title, details, 0))
        health = "healthy" if well else "starting"
    return NodeStatus(title, now, health, str(container["Image"]), state["ExitCode"] if now == "exited" else None)


def is_healthy(node: str, details: Container, waited: float) -> bool:
    """Whether a container is up and healthy, tried now, after `waited` seconds of waiting for it.

    Raises:
        EnvironmentProblem: it will not be.
    """
    state, container = details["State"], details["Id"]
    remedy = "Correct what its log shows."
    if not state["Running"]:
        words = f"node {node}: its command ended with status {state['ExitCode']}.{tail(container)}"
        raise EnvironmentProblem(words, "Correct the node's `cmd` in the topology.")
    check = details["Config"].get("Healthcheck") or {}
    test = check.get("Test") or ["NONE"]
    if test[0] == "NONE" or state.get("Health", {}).get("Status") == "healthy":
        return True
    argv = test[1:] if test[0] == "CMD" else ["sh", "-c", test[1]]
    interval, timeout = (check.get(key, 0) / 1e9 or 30.0 for key in ("Interval", "Timeout"))
    done = _tried(container, node, argv, timeout)
    if done.rc == 0:
        return True
    if waited > check.get("StartPeriod", 0) / 1e9 + (check.get("Retries", 0) or 3) * interval:
        output = (done.stdout + done.stderr).strip()
        raise EnvironmentProblem(
            f"node {node} did not become healthy. {' '.join(argv)}: exit status {done.rc}"
            f"{': ' + output if output else ''}{tail(container)}",
            remedy,
        )
    return False


def _tried(container: str, node: str, argv: Sequence[str], timeout: float) -> Completed:
    try:
        return docker_exec.run(container, f"node {node}", argv, None, timeout)
    except CommandTimeout as late:  # a failure like others, as the engine has it: the next one may be quicker
        return Completed(1, "", late.message)
    except LabkitError as refused:
        with translated():
            running = engine().inspect_container(container)["State"]["Running"]
        if running:
            raise
        return Completed(1, "", refused.message)  # it has just ended: the next look at it shows how
