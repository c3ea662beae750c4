"""What tests of running labs have in common: lab files and their variants, what nodes show, small programs in nodes."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from labkit.azure.changes.route_servers import CreateRouteServer, PutPeer
from labkit.azure.changes.route_tables import DeleteRoute, PutRoute, PutRouteTable
from labkit.azure.model import Azure
from labkit.lab.build import plan
from labkit.lab.load import load
from labkit.lab.plan.model import Plan
from labkit.lab.route_table import user_route
from labkit.lab.running import applied
from labkit.operate.diff.run import differences
from labkit.operate.look.client import LabClient
from labkit.operate.look.kernel import KernelPath
from labkit.operate.look.live_state import LiveState
from labkit.operate.look.probes import ping
from labkit.operate.records import record as records
from labkit.operate.trace.run import Trace, trace
from labkit.pytest import RunningLab
from labkit.render.render import render
from labkit.resources import topologies
from labkit.runtimes.image import images
from labkit.runtimes.protocol import Process
from tests.e2e.waiting import eventually

LABS = Path(__file__).parent / "labs"
SCAN = "/run/labkit-services"
"""Where a node's init has its services."""


def lab_file(name: str) -> Path:
    """One of this folder's labs."""
    return LABS / f"{name}.lab.yml"


def variant(source: Path, folder: Path, changes: dict[str, str]) -> Path:
    """A copy of a lab file in `folder` with texts replaced, each of which must be there.

    What lies next to it in a folder of its own is copied, too.
    """
    if source.name == "lab.yml":
        shutil.copytree(source.parent, folder, dirs_exist_ok=True)
    text = source.read_text()
    for old, new in changes.items():
        assert old in text, f"{source} has no {old!r}"
        text = text.replace(old, new)
    file = folder / source.name
    file.write_text(text)
    return file


def overview_called(name: str, folder: Path) -> Path:
    """The overview lab under another name, as a file in `folder`."""
    file = folder / f"{name}.lab.yml"
    text = (topologies() / "overview" / "lab.yml").read_text()
    file.write_text(text.replace("name: overview", f"name: {name}", 1))
    return file


@contextmanager
def booted(file: Path, runtime: str, change: Callable[[Plan], Plan]) -> Iterator[RunningLab]:
    """A lab whose plan was changed before it boots; its proofs are not checked."""
    lab = load(file)
    spec = images.node_image()
    images.ensure(spec)
    with records.lock(lab.name):
        record = records.create(lab.name, runtime, file, spec.reference)
        client = LabClient(record)
        try:
            render(change(plan(lab)), record.folder, image=spec.reference, lab_file=file.read_bytes())
            client.runtime.deploy(record.topology)
            yield RunningLab(lab, client)
        finally:
            client.runtime.destroy(lab.name)
            records.remove(lab.name)


def problems(lab: RunningLab, within: float = 0) -> list[str]:
    """What does not hold in the lab `within` so many seconds."""
    return [f"{o.title}: {o.problem}" for o in lab.verify(within) if not o.ok]


def nothing_differs(lab: RunningLab) -> None:
    """Wait until what runs is as the rules have it."""
    eventually(lambda: [str(each) for each in differences(lab.lab, lab.client)], lambda found: found == [])


def reaches(
    client: LabClient, node: str, target: IPv4Address, source: IPv4Address | None = None, what: str = ""
) -> None:
    """Wait until `target` answers a node: what is programmed comes to one machine, fabric or router after the other."""
    eventually(lambda: ping(client, node, target, source), bool, what=what or f"{target} answers {node}")


def traced(lab: RunningLab, source: str, target: str, verdict: str = "") -> Trace:
    """A trace that agrees with the real traceroute, and ends as in `verdict`.

    A kernel answers that it has no route five times at first, then once a second to each that asks: no setting of a
    node changes that, and traces before this one may have asked.
    """
    return eventually(
        lambda: trace(lab.lab, lab.client, source, target),
        lambda found: found.agrees and verdict in ("", found.verdict),
        what=f"the trace from {source} to {target} agrees {verdict}",
    )


def service_pid(lab: RunningLab, node: str, service: str) -> str:
    """The process that the node's init supervises as `service`; -1 while there is none."""
    return run(lab, node, "s6-svstat", "-o", "pid", f"{SCAN}/{service}")


def kill_service(lab: RunningLab, node: str, service: str) -> None:
    """Kill a service's process at once and wait until its supervisor has started another."""
    pid = service_pid(lab, node, service)
    run(lab, node, "kill", "-9", pid)
    eventually(lambda: service_pid(lab, node, service), lambda now: now not in ("-1", pid))


def kernel(lab: RunningLab, node: str) -> dict[IPv4Network, KernelPath]:
    """The main routing table of a node."""
    return {row.prefix: row for row in LiveState(lab.lab, lab.client).kernel(node)}


def wait_until_programmed(lab: RunningLab) -> None:
    """Wait until machines and fabrics have all applied what they were sent: one may be ahead of another."""
    eventually(lambda: lab.client.get("status")["programmed"], bool)


def gateways(lab: RunningLab, node: str, prefix: IPv4Network) -> tuple[IPv4Address, ...] | None:
    """The next hops that a node's kernel has for exactly this prefix; None without a route."""
    row = kernel(lab, node).get(prefix)
    return None if row is None else row.gateways


def effective(lab: RunningLab, nic: str, prefix: IPv4Network) -> list[tuple[str, str, str, list[str]]]:
    """A NIC's rows for a prefix: source, state, next hop type, next hops."""
    rows: list[dict[str, Any]] = lab.client.get("effective-routes", nic)["value"]
    return [
        (row["source"], row["state"], row["nextHopType"], row["nextHopIpAddress"])
        for row in rows
        if str(prefix) in row["addressPrefix"]
    ]


def azure_now(lab: RunningLab) -> Azure:
    """Azure's objects with what was changed of them."""
    return applied(lab.lab, lab.lab.azure, lab.client.changes())


def put_table(lab: RunningLab, name: str, routes: Mapping[str, str] | None = None, *, propagation: bool = True) -> None:
    """Give a route table exactly these routes, next hop by prefix, as an operator does; create it if there is none."""
    azure = azure_now(lab)
    wanted = tuple(user_route(prefix, hop, azure) for prefix, hop in (routes or {}).items())
    before = azure.route_table.get(name)
    had = {route.prefix for route in before.routes} if before is not None else set()
    lab.client.change(
        PutRouteTable(name, not propagation),
        *(DeleteRoute(name, prefix) for prefix in had - {route.prefix for route in wanted}),
        *(PutRoute(name, r.prefix, r.next_hop_type, r.next_hop, replace=r.prefix in had or None) for r in wanted),
    )


def create_server(lab: RunningLab, name: str) -> CreateRouteServer:
    """What creates a route server of the lab file again."""
    built = lab.lab.azure.route_server[name]
    return CreateRouteServer(name, built.virtual_network, built.instances)


def put_peer(lab: RunningLab, server: str, nva: str) -> PutPeer:
    """What makes an NVA of the lab file a peer of a route server."""
    asn = lab.lab.nva[nva].asn
    assert asn is not None
    return PutPeer(server, nva, asn, lab.lab.azure.nic[nva].address)


@contextmanager
def off(lab: RunningLab, *nodes: str) -> Iterator[None]:
    """The nodes are powered off, and on again whatever comes of it: the next test wants a whole lab."""
    for node in nodes:
        lab.client.runtime.stop(lab.client.record.lab, node)
    try:
        yield
    finally:
        for node in nodes:
            lab.client.runtime.start(lab.client.record.lab, node)


def run(lab: RunningLab, node: str, *argv: str, stdin: str | None = None) -> str:
    """What a command in a node prints; it must succeed."""
    done = lab.client.runtime.exec(lab.client.record.lab, node, argv, input=stdin, timeout=30.0)
    assert done.rc == 0, f"{node}: {argv}: {done.stderr}"
    return done.stdout.strip()


def configure(lab: RunningLab, node: str, *commands: str) -> None:
    """Change an FRR node's configuration."""
    run(lab, node, "vtysh", *(part for c in ("configure terminal", *commands) for part in ("-c", c)))


def python(lab: RunningLab, node: str, program: str, *arguments: object) -> str:
    """What a Python program in a node prints."""
    return run(lab, node, "python3", "-c", textwrap.dedent(program), *map(str, arguments))


class Dialogue:
    """A Python program in a node that answers every line with a line. It must see to its own deadlines."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def ask(self, line: str = "") -> str:
        """The answer to a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()
        return self.line()

    def line(self) -> str:
        """The next line; it must come."""
        assert self._process.stdout is not None
        answer: bytes = self._process.stdout.readline()
        assert answer.endswith(b"\n"), "the program ended"
        return answer.decode().strip()


@contextmanager
def dialogue(lab: RunningLab, node: str, program: str, *arguments: object) -> Iterator[Dialogue]:
    """Start a program that talks in lines; it ends with the context."""
    argv = ("python3", "-uc", textwrap.dedent(program), *map(str, arguments))
    process = lab.client.runtime.stream(lab.client.record.lab, node, argv)
    try:
        yield Dialogue(process)
    finally:
        process.kill()
        process.wait()


@contextmanager
def without_bgpd(lab: RunningLab, node: str) -> Iterator[None]:
    """A node's bgpd is killed, and nothing starts another until the context ends."""
    service, pid = f"{SCAN}/bgpd", service_pid(lab, node, "bgpd")
    run(lab, node, "s6-svc", "-O", service)
    run(lab, node, "kill", "-9", pid)
    try:
        yield
    finally:
        run(lab, node, "s6-svc", "-u", service)
