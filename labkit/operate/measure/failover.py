"""Measuring what traffic loses while something breaks."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from ipaddress import IPv4Address

from labkit.errors import CheckFailed, InvalidInput
from labkit.lab.model import Lab
from labkit.lab.plan.nodes import named, owners
from labkit.operate.labs.host_command import HostCommand, executable
from labkit.operate.labs.lifecycle import Reporter
from labkit.operate.look.client import LabClient
from labkit.operate.measure.flows import FlowEnds, Flows, Pace, unresponsive
from labkit.operate.measure.packets import FlowLoss

LONGEST = 3600.0
"""Seconds that a measurement may take."""
_STEADY_WITHIN = 3.0
"""Seconds of packets whose fate is known, after which flows that are not steady never will be."""
_KNOWN_WITHIN = 30.0
_BEFORE_AND_AFTER = 120.0
"""Seconds after the end of the measurement after which programs in nodes end by themselves, even if labkit is gone."""


@dataclass(frozen=True, slots=True)
class Event:
    """What happens during a measurement: a command on this machine, which must end before the measurement does.

    After it no flow may lose anything for `settle` seconds, and all of it may take `within` seconds. Without a command
    the flows are measured `within` seconds.

    Raises:
        InvalidInput: there is no such command, or it would take too long.
    """

    command: tuple[str, ...]
    settle: float
    within: float

    def __post_init__(self) -> None:
        for value in (self.settle, self.within):
            if not 0.1 <= value <= LONGEST:
                raise InvalidInput(f"{value:g} s can't be measured.", f"Choose 0.1 to {LONGEST:.0f} seconds.")
        if self.command:
            executable(self.command[0])


@dataclass(frozen=True, slots=True)
class Measurement:
    """What the flows lost, from the start of the command on.

    `status` is the command's exit status, None if it had to be stopped, 0 if there was none.
    """

    way: FlowEnds
    seconds: float
    flows: tuple[FlowLoss, ...]
    status: int | None

    @property
    def recovered(self) -> bool | None:
        """Whether all flows have; None if that is not known, and none is known not to have."""
        each = {flow.recovered for flow in self.flows}
        return False if False in each else None if None in each else True


def way(lab: Lab, source: str, target: str) -> FlowEnds:
    """The machines between which to measure. A site's name means its host.

    Raises:
        InvalidInput: there is no such machine, or both are the same.
    """
    source, target = named(lab, source), named(lab, target)
    inside = [*(vm.name for vm in lab.virtual_machines), *lab.nva]
    machines = {name: (name, lab.azure.primary_nic(name).address) for name in inside}
    for site in lab.sites:
        machines[site.name] = machines[site.host.name] = (site.host.name, site.host.address.ip)
    these = f"Choose one of: {', '.join(sorted(machines))}"
    if source not in machines:
        raise InvalidInput(f"{source} is not a virtual machine, NVA or site of lab {lab.name}.", f"{these}.")
    outside = {lab.internet.name: (lab.internet.name, lab.internet.host)} if lab.internet else {}
    found = machines.get(target) or outside.get(target) or _owner(lab, target)
    if found is None:
        also = ", ".join(["", *outside])
        raise InvalidInput(f"{target} is not a machine of lab {lab.name}, nor the address of one.", f"{these}{also}.")
    if found[0] == machines[source][0]:
        raise InvalidInput(f"{source} and {target} are the same machine.", "Name two machines.")
    return FlowEnds(*machines[source], *found)


def failover(client: LabClient, between: FlowEnds, pace: Pace, event: Event, reporter: Reporter) -> Measurement:
    """Start flows; once all of them are steady, run the event and count what they lose.

    Raises:
        InvalidInput: the command can't be started, or a node is off.
        CheckFailed: a flow gets no answer at the start, or a node at either end is powered off.
    """
    with closing(Flows(client, between, pace, event.within + _BEFORE_AND_AFTER)) as flows:
        reporter.begin("flows")
        flows.start()
        packets = flows.packets
        if not flows.until(lambda: all(packets.steady()) or packets.known_for > _STEADY_WITHIN, _KNOWN_WITHIN):
            raise unresponsive(between.target)
        if not all(packets.steady()):
            raise _no_answer(client.record.lab, between, flows)
        reporter.end(
            f"{pace.flows} from {between.source} to {between.target} ({between.target_address}), "
            f"a packet every {pace.interval * 1000:g} ms"
        )
        began = time.monotonic()
        ended, status = _wait(flows, pace, event, reporter)
        flows.finish()
        measured = flows.results(began, ended, event.settle)
        return Measurement(between, packets.end - began, measured, status)


def _wait(flows: Flows, pace: Pace, event: Event, reporter: Reporter) -> tuple[float, int | None]:
    """Run the event and wait until it is over; returns when its command ended, and the command's exit status."""
    began, packets = time.monotonic(), flows.packets

    def wait(done: Callable[[], bool]) -> bool:
        def shown() -> bool:
            whole = f"{packets.well(began, 0.2)}/{pace.flows} flows without loss"
            reporter.update(f"{packets.lost(began)} packets lost, now {whole}   {time.monotonic() - began:.0f} s")
            return done()

        return flows.until(shown, began + event.within - time.monotonic())

    if not event.command:
        reporter.begin("measure")
        wait(lambda: False)
        reporter.end(f"{event.within:g} s without a command")
        return began, 0
    words = shlex.join(event.command)
    with closing(HostCommand(event.command, flows.selector, reporter.note)) as command:
        reporter.begin("command")
        wait(lambda: command.ended is not None)
        ended, status = command.ended, command.status
        if ended is None:
            reporter.end(f"{words}: still running after {event.within:g} s, stopped")
            return math.inf, None
        reporter.end(f"{words}: exit status {status}")
        reporter.begin("recover")
        if wait(lambda: packets.well(ended, event.settle) == pace.flows):
            reporter.end(f"{event.settle:g} s without loss")
        else:
            well = packets.well(ended, event.settle)
            reporter.end(f"{well} of {pace.flows} flows recovered within {event.within:g} s")
        return ended, status


def _no_answer(lab: str, between: FlowEnds, flows: Flows) -> CheckFailed:
    """The error for flows that get no answers from the start."""
    there, steady = flows.packets.arrived(), flows.packets.steady()
    source, target = between.source, between.target
    if any(steady):
        what = f"only {sum(steady)} of {len(steady)} flows from {source} to {target} get answers."
    elif there:
        what = f"{target} receives the packets of {source}, but none of its answers comes back."
    else:
        what = f"no packet from {source} reaches {target} ({between.target_address})."
    trace = (target, between.source_address) if there else (source, between.target_address)
    return CheckFailed(
        what, f"Nothing has been broken yet. See where packets end: labkit trace {trace[0]} {trace[1]} --lab {lab}"
    )


def _owner(lab: Lab, target: str) -> tuple[str, IPv4Address] | None:
    """The node with an address, and the address; None also for a route server's instance, which is no machine."""
    try:
        address = IPv4Address(target)
    except ValueError:
        return None
    owner = owners(lab).get(address)
    instances = {i.node for server in lab.azure.route_servers for i in server.instance_ids}
    return None if owner is None or owner in instances else (owner, address)
