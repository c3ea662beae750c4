"""The simulated Internet: one node with a leg in every virtual network, and one host that answers.

Virtual networks may overlap, so two legs may carry the same private addresses at once. Connection tracking keeps
them apart by a zone for each leg and translates sources to the leg's public address; a mark on the connection sends
the answers back through the leg that the questions came by.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Annotated

from pydantic import BeforeValidator

from labkit.azure.model import Azure, InstanceId
from labkit.lab import model
from labkit.lab.file.draft import Draft
from labkit.lab.file.schema import SingleSection
from labkit.lab.file.schema_types import Address, Prefix, ShortPart, mistake
from labkit.lab.kinds.addresses import Addresses, Assignment, Slot
from labkit.lab.kinds.gateway import GATEWAYS, GatewayType
from labkit.lab.kinds.kind import Checking, Given, Kind, Range
from labkit.lab.kinds.machine import machine_of
from labkit.lab.kinds.nva import NVAS
from labkit.lab.kinds.site import site_routers
from labkit.lab.kinds.virtual_network import VIRTUAL_NETWORKS
from labkit.lab.model import Lab
from labkit.lab.plan.common import NET_ADMIN, Planned, environment, interface_up, nftables, point_to_point, sysctls
from labkit.lab.plan.gateway_inbound import underlay_commands
from labkit.lab.plan.macs import FABRIC_MAC
from labkit.lab.plan.model import Node, Role
from labkit.lab.plan.nic_tables import RULE_PROTOCOL
from labkit.lab.plan.nodes import PROVIDER
from labkit.lab.plan.wires import Interfaces, Wire, WireEnd, Wiring

NAME = "internet"
HOST_OFFSET = 10

_LEGS: Slot[dict[str, IPv4Address]] = Slot(dict)
"""The public address of the leg into each virtual network."""

_TRANSLATED: Slot[dict[str, IPv4Address]] = Slot(dict)
"""The public addresses of NICs, by NVA."""

_PUBLIC: Slot[dict[str, IPv4Address]] = Slot(dict)
"""The public addresses of nodes that are in the Internet themselves."""


class Internet(ShortPart):
    """The simulated Internet: its range alone, or the range and the address of its host."""

    prefix: Prefix
    """A documentation range, such as 198.51.100.0/24."""
    host: Address | None = None
    """The address of the host that answers. Default: .10."""


def _not_empty(value: object) -> object:
    if value is None:
        raise mistake("the prefix is missing", "Write a documentation range, such as 198.51.100.0/24.")
    return value


INTERNET: SingleSection[Internet | None] = SingleSection(
    NAME,
    NAME,
    Annotated[Internet | None, BeforeValidator(_not_empty)],
    "The simulated Internet; without it there is none.",
    lambda: None,
    nullable=False,
)


class InternetKind(Kind):
    """The Internet; one node, with a leg into every virtual network and a link to each end of a VPN."""

    section = INTERNET

    def ranges(self, draft: Draft) -> Iterator[Range]:
        """See `Kind`."""
        internet = draft.file[INTERNET]
        if internet is None:
            return
        if internet.prefix.is_private and not _is_documentation(internet.prefix):
            text = f"internet: {internet.prefix} is a private range."
            remedy = "Azure drops packets to it unless a route leads elsewhere. Use 198.51.100.0/24."
            draft.warn((NAME,), text, remedy)
        yield Range(internet.prefix, NAME, (NAME,), yields=3)

    def given(self, draft: Draft) -> Iterator[Given]:
        """See `Kind`."""
        internet = draft.file[INTERNET]
        if internet is not None and internet.host is not None:
            yield Given(internet.host, "host of the internet", (NAME, "host"), internet.prefix, "its prefix")

    def assign(self, assignment: Assignment) -> None:
        """See `Kind`."""
        internet = assignment.draft.file[INTERNET]
        if internet is None:
            return
        prefix, addresses = internet.prefix, assignment.addresses
        host = internet.host if internet.host is not None else assignment.near(prefix, HOST_OFFSET)
        if host is not None:
            addresses.hosts[NAME] = host
        last = int(prefix.broadcast_address)
        downwards = (IPv4Address(a) for a in range(last - 1, last - prefix.num_addresses + 1, -1))
        draft = assignment.draft
        wanted = {
            _LEGS: [*draft.file[VIRTUAL_NETWORKS]],
            _PUBLIC: _ends(draft),
            _TRANSLATED: _with_public_addresses(draft),
        }
        for slot, names in wanted.items():
            for name in names:
                address = assignment.first(downwards)
                if address is not None:
                    addresses[slot][name] = address
        if host is None or any(len(addresses[slot]) < len(names) for slot, names in wanted.items()):
            remedy = (
                "It needs one for its host, each virtual network and each end of a VPN or public overlay: widen it."
            )
            assignment.full((NAME,), NAME, prefix, remedy)

    def azure(self, draft: Draft, addresses: Addresses, azure: Azure) -> Azure:  # noqa: ARG002
        """See `Kind`: the public addresses of VPN gateways."""
        public = addresses[_PUBLIC]
        gateways = (
            replace(gateway, public_addresses=tuple(public[i.node] for i in gateway.instance_ids if i.node in public))
            for gateway in azure.gateways
        )
        return replace(azure, gateways=tuple(gateways))

    def check(self, checking: Checking) -> None:
        """See `Kind`."""
        draft = checking.draft
        if draft.file[INTERNET] is not None or draft.broken((NAME,)):
            return
        for name, gateway in draft.file[GATEWAYS].items():
            if gateway.type is GatewayType.VPN and gateway.connects_to:
                text = f"gateway {name}: its tunnels need the Internet, and the lab has none."
                draft.error(("gateways", name), text, "Add internet: {prefix: 198.51.100.0/24}.")
        for router in site_routers(draft).values():
            if router.keys.snat:
                text = f"{draft.subject(router.place)[0]}: snat needs the Internet, and the lab has none."
                draft.error((*router.place, "snat"), text, "Add internet: {prefix: 198.51.100.0/24}.")

    def lab(self, draft: Draft, addresses: Addresses, lab: Lab) -> Lab:
        """See `Kind`."""
        internet = draft.file[INTERNET]
        if internet is None:
            return lab
        legs = tuple(model.InternetLeg(v, addresses[_LEGS][v]) for v in draft.file[VIRTUAL_NETWORKS])
        translated = {lab.azure.primary_nic(name).name: address for name, address in addresses[_TRANSLATED].items()}
        made = model.Internet(NAME, internet.prefix, addresses.hosts[NAME], legs, addresses[_PUBLIC], translated)
        return replace(lab, internet=made)

    def wires(self, lab: Lab, interfaces: Interfaces) -> Iterator[Wire]:
        """See `Kind`: those of the ends of VPNs; virtual networks have its legs."""
        internet = lab.internet
        for node, address in internet.public.items() if internet is not None else ():
            assert internet is not None
            one, other = WireEnd(node, interfaces.take(node)), WireEnd(internet.name, interfaces.take(internet.name))
            one_up = (
                *point_to_point(one.interface, address, internet.host),
                f"ip route replace {internet.prefix} via {internet.host} dev {one.interface}",
            )
            if node not in lab.site_router:
                one_up = underlay_commands(one.interface, address, internet.host, internet.prefix)
            other_up = (*interface_up(other.interface), f"ip route replace {address} dev {other.interface}")
            yield Wire(one, other, one_up, other_up)

    def nodes(self, lab: Lab, wiring: Wiring) -> Iterator[Planned]:
        """See `Kind`."""
        if lab.internet is not None:
            yield _node(lab, wiring, lab.internet)


def _ends(draft: Draft) -> list[str]:
    """What is in the Internet itself: the instances of VPN gateways, and sites with tunnels to them or with `snat`.

    NVAs with tunnels have public addresses by translation.
    """
    routers = site_routers(draft)
    nodes: list[str] = []
    for name, gateway in draft.file[GATEWAYS].items():
        if gateway.type is GatewayType.VPN:
            nodes += [InstanceId(name, i).node for i in range(gateway.instance_count)]
            nodes += [site for site, _ in gateway.connections if site in routers]
    nodes += [router.name for router in routers.values() if router.keys.snat]
    return list(dict.fromkeys(nodes))


def _with_public_addresses(draft: Draft) -> list[str]:
    """The NVAs that have an overlay over the Internet, at either end, or a tunnel of a VPN gateway."""
    ends = [
        (name, machine_of(far))
        for name, nva in draft.file[NVAS].items()
        for overlay in nva.overlays
        for far, options in overlay.items()
        if options is not None and options.public
    ]
    remotes = (machine_of(far) for gateway in draft.file[GATEWAYS].values() for far, _ in gateway.connections)
    vpns = [name for name in remotes if name in draft.file[NVAS]]
    return list(dict.fromkeys([*(name for pair in ends for name in pair), *vpns]))


def _is_documentation(prefix: IPv4Network) -> bool:
    known = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
    return any(prefix.subnet_of(IPv4Network(n)) for n in known)


FIRST_TABLE = 101


@dataclass(frozen=True, slots=True)
class Leg:
    """A leg: `number` is its conntrack zone and mark, `table` its routing table.

    `translated` are the addresses of NICs with a public one, each with that.
    """

    number: int
    interface: str
    public: IPv4Address
    translated: tuple[tuple[IPv4Address, IPv4Address], ...] = ()

    @property
    def table(self) -> int:
        """The routing table for answers."""
        return FIRST_TABLE + self.number - 1


def _node(lab: Lab, wiring: Wiring, internet: model.Internet) -> Planned:
    """The Internet's node.

    It forwards between those who are in it themselves, and to the public addresses of NICs; what else is not for its
    host ends here.
    """
    public = [wiring.interface(internet.name, node) for node in internet.public]
    legs = [
        Leg(
            number,
            wiring.interface(internet.name, leg.virtual_network),
            leg.public,
            tuple(
                (nic.address, address)
                for name, address in internet.translated.items()
                if (nic := lab.azure.nic[name]).virtual_network == leg.virtual_network
            ),
        )
        for number, leg in enumerate(internet.legs, 1)
    ]
    file, bind, load = nftables(
        internet.name, "nftables-internet.conf.j2", legs=legs, public=public, translated=internet.translated
    )
    commands = [load, *interface_up("lo", IPv4Interface((internet.host, 32)))]
    commands.append(f"ip rule flush protocol {RULE_PROTOCOL}")
    for leg in legs:
        commands += _leg(leg)
    commands += wiring.up(internet.name)
    node = Node(
        name=internet.name,
        role=Role.INTERNET,
        env=environment(lab.name, internet.name),
        binds=(bind,),
        exec=tuple(commands),
        sysctls=sysctls(forward=bool(public or internet.translated)),
        cap_add=NET_ADMIN,
    )
    return Planned(node, (file,))


def _leg(leg: Leg) -> tuple[str, ...]:
    """A leg's commands. The routes to public addresses are what an answer follows until it is translated back."""
    return (
        *interface_up(leg.interface),
        f"ip neighbour replace {PROVIDER} lladdr {FABRIC_MAC} dev {leg.interface} nud permanent",
        *(
            f"ip route replace {address}/32 via {PROVIDER} dev {leg.interface} onlink"
            for address in (leg.public, *(public for _, public in leg.translated))
        ),
        f"ip route replace default via {PROVIDER} dev {leg.interface} onlink table {leg.table}",
        f"ip rule add priority {leg.table} fwmark {leg.number} lookup {leg.table} protocol {RULE_PROTOCOL}",
    )
