"""Internal load balancers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Annotated, ClassVar

from pydantic import Field

from labkit.azure import model
from labkit.azure.model.problem import Code, Problem
from labkit.azure.rules.addressing import PLATFORM_ADDRESS
from labkit.lab.file.draft import Draft
from labkit.lab.file.problems import listed
from labkit.lab.file.references import Reference
from labkit.lab.file.schema import Section
from labkit.lab.file.schema_types import Address, AzureName, Part, References
from labkit.lab.file.yaml_source import Path
from labkit.lab.kinds.addresses import Addresses, Assignment, Slot
from labkit.lab.kinds.kind import AzureRefusal, Checking, Given, Kind, at
from labkit.lab.kinds.machine import check_place, free_address, given_address, machine_of, own_nics
from labkit.lab.kinds.names import Declared
from labkit.lab.kinds.nouns import LOAD_BALANCER, NIC, NVA, NVA_NIC, VIRTUAL_MACHINE
from labkit.lab.kinds.nva import NVAS
from labkit.lab.kinds.virtual_machine import VIRTUAL_MACHINES
from labkit.lab.kinds.virtual_network import find_subnet

BGP_PORT = 179

FRONTENDS: Slot[dict[str, IPv4Address]] = Slot(dict)
"""The addresses of frontends by load balancer."""


class Probe(Part):
    """A load balancer's health probe: a TCP connection from 168.63.129.16."""

    port: Annotated[int, Field(ge=1, le=65535)]
    """The port that a backend which is up listens on, such as 179, BGP."""
    interval: Annotated[int, Field(ge=1, le=3600)] = 5
    """Seconds between two probes of a backend. Azure's shortest is 5."""
    count: Annotated[int, Field(ge=1, le=100)] = 2
    """After so many failures in a row a backend is down; one success brings it up."""


class LoadBalancer(Part):
    """An internal Standard Load Balancer with a rule for all ports ("HA ports").

    Its frontend is a next hop of `nvas` and routes, and itself answers TCP and UDP by a backend that is up.
    """

    subnet: Reference
    """Where its frontend is: virtual-network/subnet."""
    address: Address | None = None
    """Its frontend's address. Default: the first free one of the subnet, after all NICs."""
    backends: Annotated[References, Field(min_length=1)]
    """The NVAs or virtual machines behind it, in its virtual network; `machine/nic` is another NIC than the primary."""
    probe: Probe
    """How it sees which backends are up."""


LOAD_BALANCERS: Section[dict[str, LoadBalancer]] = Section(
    "load_balancers",
    "load balancer",
    dict[AzureName, LoadBalancer],
    "Internal load balancers by name.",
    dict,
    hints={
        "backends": "Name the NVAs behind it, such as backends: [nva1, nva2].",
        "probe": "Name the port that shows whether a backend is up, such as probe: {port: 179}.",
        "port": "Add the port that backends listen on, such as port: 179.",
    },
)


def _listens(draft: Draft, machine: str, port: int) -> bool:
    """Whether anything on a machine listens on a TCP port by itself: the BGP daemon of an NVA [probe-port]."""
    nva = draft.file[NVAS].get(machine_of(machine))
    return port == BGP_PORT and nva is not None and nva.asn is not None


def _nic(draft: Draft, backend: str) -> str:
    """The name of a backend's NIC."""
    name = machine_of(backend)
    machine = draft.file[NVAS].get(name) or draft.file[VIRTUAL_MACHINES].get(name)
    nic = own_nics("", name, machine).get(backend) if machine is not None else None
    return nic.name if nic is not None else backend


def _answers(draft: Draft, backend: str) -> bool:
    """Whether a backend answers probes by the NIC that they come to: it may have several [probe-answer-nic]."""
    name = machine_of(backend)
    nva = draft.file[NVAS].get(name)
    machine = nva or draft.file[VIRTUAL_MACHINES].get(name)
    if machine is None or len(machine.nics) < 2 or machine.policy_routing:
        return True
    routes = nva.static_routes if nva is not None else {}
    mine = own_nics("", name, machine)
    leads = max((p for p in routes if PLATFORM_ADDRESS in p), key=lambda prefix: prefix.prefixlen, default=None)
    hop = name if leads is None else routes[leads]
    # Of an address, the file alone does not tell by which NIC it is reached.
    return hop not in mine or mine[hop].name == mine[backend].name


def _backend(draft: Draft, problem: Problem) -> tuple[Path, str]:
    name, backend = problem.subjects
    backends = draft.file[LOAD_BALANCERS][name].backends
    position = next(i for i, each in enumerate(backends) if each in {backend, machine_of(backend)})
    return ("load_balancers", name, "backends", position), f"load balancer {name}: "


class LoadBalancerKind(Kind):
    """Load balancers; no nodes: the switches of virtual networks do what they do."""

    section = LOAD_BALANCERS
    noun = LOAD_BALANCER
    refusals: ClassVar[Mapping[Code, AzureRefusal]] = {
        Code.BACKEND_ELSEWHERE: AzureRefusal(
            "Azure refuses it: a pool of NICs spans one virtual network. Move one of them.", _backend
        ),
        Code.BACKEND_TWICE: AzureRefusal(
            "Azure refuses two rules with the same ports, here all, and backend. Remove it from one.", _backend
        ),
        Code.PROBE_INTERVAL: AzureRefusal(
            "The lab uses it anyway. Omit interval for Azure's shortest.",
            at("load_balancers", 0, "probe", "interval", about="load balancer {0}: "),
        ),
    }

    def names(self, draft: Draft) -> Iterator[Declared]:
        """See `Kind`."""
        for name in draft.names("load_balancers"):
            yield Declared(name, LOAD_BALANCER, ("load_balancers", name))

    def references(self, checking: Checking) -> None:
        """See `Kind`."""
        draft = checking.draft
        for name, balancer in draft.file[LOAD_BALANCERS].items():
            check_place(checking, ("load_balancers", name), balancer.subnet)
            for i, backend in enumerate(balancer.backends):
                path: Path = ("load_balancers", name, "backends", i)
                about = f"backends of load balancer {name}"
                found = checking.names.refer(draft, path, about, backend, NVA, VIRTUAL_MACHINE, NVA_NIC, NIC)
                if found and _nic(draft, backend) in {_nic(draft, each) for each in balancer.backends[:i]}:
                    draft.error(path, f"{about}: {backend} is listed twice.", "Remove one.")

    def check(self, checking: Checking) -> None:
        """See `Kind`."""
        draft = checking.draft
        for name, balancer in draft.file[LOAD_BALANCERS].items():
            port = balancer.probe.port
            deaf = [each for each in balancer.backends if not _listens(draft, each, port)]
            if deaf:
                # What somebody starts there, labkit can't know.
                text = f"load balancer {name}: nothing listens on TCP {port} at {listed(deaf)}, and its probes fail."
                server = f"labkit exec {machine_of(deaf[0])} -- python3 -m http.server {port}"
                remedy = f"Probe 179, BGP, of NVAs; or start a server: {server}"
                draft.warn(("load_balancers", name, "probe", "port"), text, remedy)

            for i, backend in enumerate(balancer.backends):
                path: Path = ("load_balancers", name, "backends", i)
                if not draft.broken(path) and not _answers(draft, backend):
                    machine = machine_of(backend)
                    text = f"load balancer {name}: {machine} answers the probes of {backend} by another NIC."
                    draft.warn(
                        path, text, f"Such probes fail, and it stays down: add policy_routing: true to {machine}."
                    )

    def given(self, draft: Draft) -> Iterator[Given]:
        """See `Kind`."""
        for name, balancer in draft.file[LOAD_BALANCERS].items():
            place: Path = ("load_balancers", name)
            whose = f"frontend of load balancer {name}"
            yield from given_address(draft, (*place, "address"), whose, balancer.subnet, balancer.address)

    def assign(self, assignment: Assignment) -> None:
        """See `Kind`."""
        addresses = assignment.addresses
        for name, balancer in assignment.draft.file[LOAD_BALANCERS].items():
            what, place = f"frontend of load balancer {name}", ("load_balancers", name)
            address = balancer.address or free_address(assignment, place, what, balancer.subnet)
            if address is not None:
                addresses[FRONTENDS][name] = address
                addresses.next_hops.setdefault(name, address)

    def azure(self, draft: Draft, addresses: Addresses, azure: model.Azure) -> model.Azure:
        """See `Kind`."""
        balancers = tuple(
            model.LoadBalancer(
                name,
                found[0],
                found[1],
                addresses[FRONTENDS][name],
                tuple(
                    nic.name
                    for backend in balancer.backends
                    for nic in ((azure.nic[backend],) if backend in azure.nic else azure.nics_of(backend)[:1])
                ),
                model.Probe(balancer.probe.port, balancer.probe.interval, balancer.probe.count),
            )
            for name, balancer in draft.file[LOAD_BALANCERS].items()
            if (found := find_subnet(draft, balancer.subnet)) is not None and name in addresses[FRONTENDS]
        )
        return replace(azure, load_balancers=balancers)
