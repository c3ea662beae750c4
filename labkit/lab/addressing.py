"""Addresses and MACs that a lab file leaves open. The same file always gives the same ones.

- A NIC gets the first free usable address of its subnet: NVAs first, then virtual machines, each in file order; after
  them the frontends of load balancers.
- A route server's instances get the first two of RouteServerSubnet: .4 and .5, as in Azure.
- A gateway's instances get the first free ones of GatewaySubnet; Microsoft's edge, where their lines end, gets
  addresses of `EDGES`.
- The ends of VPNs have public addresses of the Internet's prefix, below those of its legs.
- A site's router is .1 of every prefix and its host .10 of the first, or whatever is the first to fit.
- A link between an NVA or a circuit and a site, or an overlay between two NVAs, is a /30 of `WAN`, skipping what the
  lab uses otherwise; the site, or the NVA that is named, has the higher end. Of a circuit's link the site has the
  lower one, as in Azure.
- The Internet's host is .10 of its prefix; its legs take public addresses from the prefix's top downwards.

Addresses are unique in the whole lab, so that a traceroute's hop has one name. What the file says goes first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from labkit.azure.model import InstanceId
from labkit.azure.rules.addressing import GATEWAY_SUBNET, ROUTE_SERVER_SUBNET, SUBNET_LONGEST, usable_addresses
from labkit.lab.draft import Draft
from labkit.lab.file.schema import Gateway, GatewayType, LabFile, machines
from labkit.lab.file.yaml_source import Path

WAN = IPv4Network("100.64.0.0/16")
"""Links to sites: a part of the shared address space (RFC 6598) that no Azure range is likely to use."""

EDGES = IPv4Network("100.65.0.0/16")
"""Microsoft's side of the lines between gateways and circuits."""

WAN_LENGTH = 30
HOST_OFFSET = 10
MAC_PREFIX = "00:0d:3a"
"""Microsoft's own, as on Azure NICs."""


def derive_mac(node: str, interface: str, taken: Container[str] = ()) -> str:
    """The MAC address of a node's interface: a hash of both names, another one while it is in `taken`."""
    attempt = 0
    while True:
        digest = hashlib.sha256(f"{node}/{interface}/{attempt}".encode()).hexdigest()
        mac = f"{MAC_PREFIX}:{digest[0:2]}:{digest[2:4]}:{digest[4:6]}"
        if mac not in taken:
            return mac
        attempt += 1


@dataclass
class Addresses:
    """Every address and NIC MAC of a lab, said or assigned.

    `wan` is keyed by NVA or circuit and site, or by two NVAs, and holds both ends; `edges` by gateway and circuit, an
    address for each instance of the gateway.
    """

    instances: dict[str, tuple[IPv4Address, IPv4Address]] = field(default_factory=dict)
    nics: dict[str, IPv4Address] = field(default_factory=dict)
    macs: dict[str, str] = field(default_factory=dict)
    frontends: dict[str, IPv4Address] = field(default_factory=dict)
    gateways: dict[str, tuple[IPv4Address, ...]] = field(default_factory=dict)
    edges: dict[tuple[str, str], tuple[IPv4Address, ...]] = field(default_factory=dict)
    lans: dict[str, tuple[IPv4Interface, ...]] = field(default_factory=dict)
    hosts: dict[str, IPv4Interface] = field(default_factory=dict)
    wan: dict[tuple[str, str], tuple[IPv4Interface, IPv4Interface]] = field(default_factory=dict)
    internet_host: IPv4Address | None = None
    legs: dict[str, IPv4Address] = field(default_factory=dict)
    public: dict[str, IPv4Address] = field(default_factory=dict)

    @property
    def next_hops(self) -> dict[str, IPv4Address]:
        """What a next hop may name: NICs, and frontends by their load balancers."""
        return {**self.frontends, **self.nics}


def ends(prefix: IPv4Network) -> tuple[IPv4Address, IPv4Address]:
    """The two addresses of a link of /30 or /31, lower one first."""
    first = prefix.network_address if prefix.prefixlen == 31 else prefix.network_address + 1
    return first, first + 1


def vpn_nodes(file: LabFile) -> tuple[str, ...]:
    """What stands in the Internet itself: the instances of VPN gateways, and the sites that they have tunnels with."""
    nodes: list[str] = []
    for name, gateway in file.gateways.items():
        if gateway.type is GatewayType.VPN:
            nodes += [InstanceId(name, i).node for i in range(gateway.instance_count)]
            nodes += [site for connection in gateway.connects_to for site in connection if site in file.sites]
    return tuple(dict.fromkeys(nodes))


def assign(draft: Draft) -> Addresses:
    """Completes the addresses of the sound part of a file; ranges with no room left are noted in the draft."""
    return _Assignment(draft).run()


class _Assignment:
    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.file = draft.file
        self.result = Addresses()
        self.taken: set[IPv4Address] = set(_said(draft))

    def run(self) -> Addresses:
        self._instances()
        self._nics()
        self._frontends()
        self._gateways()
        self._sites()
        self._wan()
        self._internet()
        return self.result

    def _first(self, candidates: Iterable[IPv4Address]) -> IPv4Address | None:
        found = next((a for a in candidates if a not in self.taken), None)
        if found is not None:
            self.taken.add(found)
        return found

    def _full(self, path: Path, what: str, prefix: IPv4Network, remedy: str) -> None:
        if not self.draft.broken(path):
            self.draft.error(path, f"{what}: {prefix} has no free address left.", remedy)

    def _instances(self) -> None:
        for name, server in self.file.route_servers.items():
            if server.instances is not None:
                self.result.instances[name] = server.instances
                continue
            found = self.draft.subnet(f"{server.virtual_network}/{ROUTE_SERVER_SUBNET}")
            if found is None or found[2].prefix.prefixlen > SUBNET_LONGEST:
                continue
            usable = usable_addresses(found[2].prefix)
            pair = self._first(usable), self._first(usable)
            if pair[0] is not None and pair[1] is not None:
                self.result.instances[name] = pair[0], pair[1]
            else:
                path: Path = ("virtual_networks", found[0], "subnets", ROUTE_SERVER_SUBNET)
                self._full(path, f"{ROUTE_SERVER_SUBNET} of {found[0]}", found[2].prefix, "Widen the subnet.")

    def _nics(self) -> None:
        macs = {m.mac for m in machines(self.file).values() if m.mac}
        for name, machine in machines(self.file).items():
            self.result.macs[name] = machine.mac or derive_mac(name, "eth0", macs)
            macs.add(self.result.macs[name])
            if machine.address is not None:
                self.result.nics[name] = machine.address
                continue
            found = self.draft.subnet(machine.subnet)
            if found is None or found[2].prefix.prefixlen > SUBNET_LONGEST:
                continue
            address = self._first(usable_addresses(found[2].prefix))
            if address is not None:
                self.result.nics[name] = address
            else:
                what = f'{name}: subnet "{found[1]}" of virtual network {found[0]}'
                remedy = "Widen the subnet; Azure keeps its first four addresses and its last."
                section = "nvas" if name in self.file.nvas else "virtual_machines"
                self._full((section, name), what, found[2].prefix, remedy)

    def _frontends(self) -> None:
        for name, balancer in self.file.load_balancers.items():
            found = self.draft.subnet(balancer.subnet)
            address = balancer.address
            if address is None and found is not None and found[2].prefix.prefixlen <= SUBNET_LONGEST:
                address = self._first(usable_addresses(found[2].prefix))
                if address is None:
                    what = f'frontend of load balancer {name}: subnet "{found[1]}" of virtual network {found[0]}'
                    remedy = "Widen the subnet; Azure keeps its first four addresses and its last."
                    self._full(("load_balancers", name), what, found[2].prefix, remedy)
            if address is not None:
                self.result.frontends[name] = address

    def _gateways(self) -> None:
        for name, gateway in self.file.gateways.items():
            addresses = gateway.instances or self._gateway_instances(name, gateway)
            if not addresses:
                continue
            self.result.gateways[name] = addresses
            for index in range(len(addresses)):
                node = InstanceId(name, index).node
                self.result.macs[node] = derive_mac(node, "eth0", set(self.result.macs.values()))
            for connection in gateway.connects_to:
                for circuit, options in connection.items():
                    if circuit not in self.file.circuits:
                        continue
                    said = options.edges if options is not None else ()
                    self.result.edges[name, circuit] = said or tuple(
                        edge for _ in addresses if (edge := self._first(EDGES.hosts())) is not None
                    )

    def _gateway_instances(self, name: str, gateway: Gateway) -> tuple[IPv4Address, ...]:
        network = gateway.virtual_network
        found = self.draft.subnet(f"{network}/{GATEWAY_SUBNET}")
        if found is None or found[2].prefix.prefixlen > SUBNET_LONGEST:
            return ()
        usable = usable_addresses(found[2].prefix)
        pair = tuple(a for _ in range(gateway.instance_count) if (a := self._first(usable)) is not None)
        if len(pair) < gateway.instance_count:
            path: Path = ("virtual_networks", network, "subnets", GATEWAY_SUBNET)
            remedy = f"Widen it: gateway {name} has {gateway.instance_count} in it."
            self._full(path, f"{GATEWAY_SUBNET} of {network}", found[2].prefix, remedy)
        return pair

    def _sites(self) -> None:
        for name, site in self.file.sites.items():
            lan: list[IPv4Interface] = []
            for i, prefix in enumerate(site.prefixes):
                router = site.router if i == 0 and site.router is not None else self._near(prefix, 1)
                if router is None:
                    self._full(("sites", name), f"site {name}", prefix, "Widen the prefix.")
                else:
                    lan.append(IPv4Interface((router, prefix.prefixlen)))
            self.result.lans[name] = tuple(lan)
            first = site.prefixes[0]
            host = site.host if site.host is not None else self._near(first, HOST_OFFSET)
            if host is None:
                remedy = "The first prefix has room for the router and a host: make it a /30 or larger."
                self._full(("sites", name), f"site {name}", first, remedy)
            else:
                self.result.hosts[name] = IPv4Interface((host, first.prefixlen))

    def _near(self, prefix: IPv4Network, offset: int) -> IPv4Address | None:
        """The address `offset` into the prefix, or the first free one."""
        wish = [prefix.network_address + offset] if offset < prefix.num_addresses - 1 else []
        return self._first([*wish]) or self._first(prefix.hosts())

    def _wan(self) -> None:
        used = [n for v in self.file.virtual_networks.values() for n in v.address_space]
        used += [p for s in self.file.sites.values() for p in s.prefixes]
        used += [self.file.internet.prefix] if self.file.internet else []
        links = [(section, name, key, c) for section, name, key, found in self.file.links() for c in found]
        used += [options.prefix for _, _, _, c in links for options in c.values() if options is not None]
        nearby = [n for n in used if n.overlaps(WAN)]
        free: Iterator[IPv4Network] = (
            n for n in WAN.subnets(new_prefix=WAN_LENGTH) if not any(n.overlaps(u) for u in nearby)
        )
        for section, router, key, connection in links:
            for site, options in connection.items():
                link = options.prefix if options is not None else next(free, None)
                if link is None:
                    remedy = f"Give the link a range: {key}: [{{{site}: 192.168.0.0/30}}]."
                    path: Path = (section, router, key)
                    self.draft.error(path, f'link of {router} to "{site}": {WAN} is all in use.', remedy)
                    continue
                low, high = (IPv4Interface((end, link.prefixlen)) for end in ends(link))
                # Microsoft's side of a circuit has the second address (FAB-C 192.168.34.17, FAB-E 192.168.20.18).
                self.result.wan.setdefault((router, site), (high, low) if section == "circuits" else (low, high))

    def _internet(self) -> None:
        internet = self.file.internet
        if internet is None:
            return
        prefix = internet.prefix
        self.result.internet_host = internet.host if internet.host is not None else self._near(prefix, HOST_OFFSET)
        last = int(prefix.broadcast_address)
        downwards = (IPv4Address(a) for a in range(last - 1, last - prefix.num_addresses + 1, -1))
        for network in self.file.virtual_networks:
            public = self._first(downwards)
            if public is not None:
                self.result.legs[network] = public
        nodes = vpn_nodes(self.file)
        for node in nodes:
            address = self._first(downwards)
            if address is not None:
                self.result.public[node] = address
        wanted = len(self.file.virtual_networks) + len(nodes)
        if self.result.internet_host is None or len(self.result.legs) + len(self.result.public) < wanted:
            remedy = "It needs one for its host, each virtual network and each end of a VPN: widen it."
            self._full(("internet",), "internet", prefix, remedy)


def _said(draft: Draft) -> Iterator[IPv4Address]:
    """Every address that the file itself gives."""
    file = draft.file
    for machine in machines(file).values():
        if machine.address is not None:
            yield machine.address
    for balancer in file.load_balancers.values():
        if balancer.address is not None:
            yield balancer.address
    for server in file.route_servers.values():
        yield from server.instances or ()
    for gateway in file.gateways.values():
        yield from gateway.instances
        yield from (
            a for c in gateway.connects_to for options in c.values() if options is not None for a in options.edges
        )
    for site in file.sites.values():
        yield from (a for a in (site.router, site.host) if a is not None)
    for _, _, _, connections in file.links():
        for connection in connections:
            for options in connection.values():
                if options is not None:
                    yield from ends(options.prefix) if options.prefix.prefixlen >= WAN_LENGTH else ()
    if file.internet is not None and file.internet.host is not None:
        yield file.internet.host
