"""The simulated Internet: one node with a leg in every virtual network, and one host that answers.

Virtual networks may overlap, so two legs may carry the same private addresses at once. Connection tracking keeps
them apart by a zone for each leg and translates sources to the leg's public address; a mark on the connection sends
the answers back through the leg that the questions came by.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from labkit.lab.model import Internet, Lab
from labkit.lab.plan.common import NET_ADMIN, Planned, environment, interface_up, nftables, sysctls
from labkit.lab.plan.model import Node, Role
from labkit.lab.plan.wires import FABRIC_MAC, leg_interface, public_wires

PROVIDER = IPv4Address("169.254.0.1")
"""What a leg's routes point at: no such address exists, the fabric takes every packet by its destination."""

FIRST_TABLE = 101
RULE_PROTOCOL = 66
"""The mark of our policy rules, so that they can be replaced as a whole; agents' routes have 65."""


@dataclass(frozen=True, slots=True)
class Leg:
    """A leg: `number` is its conntrack zone and mark, `table` its routing table."""

    number: int
    interface: str
    public: IPv4Address

    @property
    def table(self) -> int:
        """The routing table for answers."""
        return FIRST_TABLE + self.number - 1


def plan_internet(lab: Lab, internet: Internet) -> Planned:
    """The Internet's node.

    It forwards between those who stand in it themselves; of the others, what is not for its host ends here.
    """
    public = public_wires(lab)
    legs = [Leg(i + 1, leg_interface(i), leg.public) for i, leg in enumerate(internet.legs)]
    file, bind, load = nftables(internet.name, "nftables-internet.conf.j2", legs=legs, public=public)
    commands = [load, *interface_up("lo", IPv4Interface((internet.host, 32)))]
    commands.append(f"ip rule flush protocol {RULE_PROTOCOL}")
    for leg in legs:
        commands += _leg(leg)
    for wire in public:
        commands.append(f"ip link set dev {wire.internet_interface} up")
        commands.append(f"ip route replace {wire.address} dev {wire.internet_interface}")
    node = Node(
        name=internet.name,
        role=Role.INTERNET,
        env=environment(lab.name, internet.name),
        binds=(bind,),
        exec=tuple(commands),
        sysctls=sysctls(forward=bool(public)),
        cap_add=NET_ADMIN,
    )
    return Planned(node, (file,))


def _leg(leg: Leg) -> tuple[str, ...]:
    """A leg's commands. The route to its own public address is what an answer follows until it is translated back."""
    return (
        *interface_up(leg.interface),
        f"ip neighbour replace {PROVIDER} lladdr {FABRIC_MAC} dev {leg.interface} nud permanent",
        f"ip route replace {leg.public}/32 via {PROVIDER} dev {leg.interface} onlink",
        f"ip route replace default via {PROVIDER} dev {leg.interface} onlink table {leg.table}",
        f"ip rule add priority {leg.table} fwmark {leg.number} lookup {leg.table} protocol {RULE_PROTOCOL}",
    )
