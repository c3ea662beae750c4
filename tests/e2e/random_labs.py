"""Random small valid labs, as lab files, and what operators may change of them.

Appliances are between route servers, relay each other's routes, tunnels join them, sites have several ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from itertools import combinations
from typing import Any

import yaml
from hypothesis import strategies as st

from labkit.azure.changes.appliances import SetAdvertisedPrefixes, SetExportPolicy
from labkit.azure.changes.base import Change
from labkit.azure.changes.circuits import CreateAuthorization, DeleteAuthorization
from labkit.azure.changes.firewalls import SetFirewallRules
from labkit.azure.changes.gateways import CreateConnection, CreateGateway, DeleteConnection, DeleteGateway
from labkit.azure.changes.nics import SetIpForwarding, customer_nics
from labkit.azure.changes.route_servers import (
    CreateRouteServer,
    DeletePeer,
    DeleteRouteServer,
    PutPeer,
    SetRouteServerSettings,
)
from labkit.azure.changes.virtual_networks import DeletePeering, PutPeering, SetAddressSpace, SyncPeering
from labkit.azure.model import Azure, ExportRule, FirewallRule, PathChanges, PrefixMatch, RuleAction
from labkit.errors import InvalidInput
from labkit.lab.model import Lab
from labkit.lab.running import carry_out
from tests.e2e.by_the_rules import settles

POOL = ("0.0.0.0/0", "10.90.0.0/16", "10.91.0.0/16", "10.1.1.0/24", "10.2.128.0/17", "10.0.0.0/8", "128.0.0.0/1")
"""What appliances may advertise: defaults, ranges of nobody, ranges inside and around virtual networks."""
TARGETS = ("10.90.0.0/16", "10.201.0.0/16", "10.202.0.0/16", "0.0.0.0/0", "10.1.10.0/24")
WIDER = ("10.90.0.0/16", "10.0.0.0/8", "10.192.0.0/10", "10.94.0.0/16")
"""What sites may announce or have static routes to: ranges of nobody, ranges around theirs."""
CIRCUITS = ("circuit1", "circuit2", "circuit3")
PREFERENCES = ("ExpressRoute", "VpnGateway", "ASPath")
STYLES = ("{}", "{}", "{}_Prod.WestEurope", "of-the-platform-team-in-westeurope-with-letters.{}", "{:_<{longest}}")
"""What people put around a name."""
LONGEST = dict.fromkeys(("virtual_networks", "nvas", "virtual_machines"), 64)
"""The characters of names by section; others have up to 80."""
ASSUMPTIONS = {
    "spoke_community": st.booleans(),
    "nva_relay_community": st.booleans(),
    "honours_no_export": st.booleans(),
    "expressroute_wins_ties": st.booleans(),
    "vpn_nva_tie": st.sampled_from(("shared", "vpn", "nva")),
    "one_expressroute_connection": st.booleans(),
    "preference_needs_branch_to_branch": st.booleans(),
    "reserved_blocks": st.sampled_from(("2026", "2021")),
}


@st.composite
def lab_files(draw: st.DrawFn) -> str:
    """The text of a lab file that Azure would accept."""
    hubs = [f"hub{i}" for i in range(1, draw(st.sampled_from((1, 2, 2))) + 1)]
    spokes = [f"spoke{i}" for i in range(1, draw(st.integers(0, 2)) + 1)]
    file: dict[str, Any] = {"name": "random", "internet": "198.51.100.0/24"}
    for section in (
        "virtual_networks", "route_tables", "route_servers", "nvas", "firewalls", "gateways", "circuits", "sites",
        "virtual_machines",
    ):  # fmt: skip
        file[section] = {}
    for number, hub in enumerate(hubs, 1):
        _hub(draw, file, hub, number)
    for number, spoke in enumerate(spokes, 11):
        _network(draw, file, spoke, number)
    file["peerings"] = [_peering(draw, file, spoke, draw(st.sampled_from(hubs))) for spoke in spokes]
    if len(hubs) == 2 and draw(st.integers(0, 3)):
        file["peerings"].append({"between": hubs, "global": draw(st.booleans())})
        _join(draw, file)
    _customers(draw, file)
    _connections(draw, file)
    _gateway_tables(draw, file)
    for number in range(1, len(hubs) + 1):
        _relays(draw, file, number)
    _loopbacks(draw, file)
    _second_ways(draw, file)
    _on_premises(draw, file)
    _static_routes(draw, file)
    _exports(draw, file)
    for name, nva in file["nvas"].items():
        if "peers_with" in nva:
            nva["next_hop"] = draw(st.sampled_from((name, "unchanged")))
    # A default route by BGP cuts a public overlay off once NICs have it, and its session stays for the hold time.
    if any({"0.0.0.0/0", "128.0.0.0/1"} & {*nva.get("advertises", ())} for nva in file["nvas"].values()):
        for gateway in file["gateways"].values():
            gateway["connects_to"] = [far for far in gateway["connects_to"] if not {*file["nvas"]} & _machines([far])]
        for link in (link for nva in file["nvas"].values() for link in nva.get("overlays", ())):
            link.update({far: {"public": False} for far in link})
    for hub in hubs:
        if draw(st.integers(0, 2)) == 0:
            first, second = draw(st.permutations((f"{hub}/workload", f"{hub}/appliances")))
            file["virtual_machines"][f"vm-{hub}"] = {"nics": {"front": first, "back": second}}
    file["assumptions"] = {key: draw(values) for key, values in ASSUMPTIONS.items()}
    return yaml.safe_dump(_named_as_people_do(draw, file), sort_keys=False)


def _named_as_people_do(draw: st.DrawFn, file: dict[str, Any]) -> dict[str, Any]:
    """The file with names as they are in Azure: objects' names with what people put around them.

    In every other lab what refers to them has another case.
    """
    names = {
        name: draw(st.sampled_from(STYLES)).format(name, longest=LONGEST.get(key, 80))
        for key, section in file.items()
        if isinstance(section, dict) and key != "assumptions"
        for name in (
            *section,
            *(router for site in section.values() if key == "sites" for router in site.get("routers", ())),
        )
    }

    refer: Callable[[str], str] = str.swapcase if len(names) % 2 else str

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {names.get(key, key): renamed(item) for key, item in value.items()}
        if isinstance(value, list):
            return [*map(renamed, value)]
        if isinstance(value, str):
            name, slash, part = value.partition("/")
            return refer(f"{names[name]}{slash}{part}") if name in names else value
        return value

    return {key: value if key == "assumptions" else renamed(value) for key, value in file.items()}


def _network(draw: st.DrawFn, file: dict[str, Any], name: str, number: int, **subnets: str) -> None:
    table = f"{name}-work"
    workload = {"prefix": f"10.{number}.10.0/24", "route_table": table}
    file["virtual_networks"][name] = {
        "address_space": f"10.{number}.0.0/16",
        "subnets": {**subnets, "workload": workload},
    }
    hops = st.sampled_from(("Internet", "None", "VirtualNetworkGateway", f"10.{number}.1.4", *file["firewalls"]))
    routes = draw(st.dictionaries(st.sampled_from(TARGETS), hops, max_size=2))
    file["route_tables"][table] = {
        "routes": routes,
        "disable_bgp_route_propagation": draw(st.integers(0, 4)) == 0,
    }
    file["virtual_machines"][f"vm-{name}"] = f"{name}/workload"


def _firewall_rules() -> st.SearchStrategy[list[dict[str, Any]]]:
    """Rules of a firewall; traceroutes, whose ports some of them name, pass by others."""
    prefixes = st.sampled_from(("10.0.0.0/8", "10.1.10.0/24", "10.11.0.0/16", "198.51.100.0/24"))
    either: dict[str, st.SearchStrategy[Any]] = {"action": st.sampled_from(("Allow", "Deny"))}
    some = {"sources": _some(prefixes), "destinations": _some(prefixes)}
    with_ports = {"protocols": st.sampled_from((["UDP"], ["TCP", "UDP"])), "ports": st.just(["22", "33000-34000"])}
    protocols = {"protocols": _some(st.sampled_from(("TCP", "UDP", "ICMP")))}
    of_ports = st.fixed_dictionaries(either | with_ports, optional=some)
    return st.lists(of_ports | st.fixed_dictionaries(either, optional=some | protocols), max_size=4)


def _some(values: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    """One or two of them: without any, a key of a rule is left out."""
    return st.lists(values, min_size=1, max_size=2, unique=True)


def _hub(draw: st.DrawFn, file: dict[str, Any], hub: str, number: int) -> None:
    if draw(st.booleans()):
        file["firewalls"][f"azfw{number}"] = {"virtual_network": hub, "rules": draw(_firewall_rules())}
    _network(
        draw,
        file,
        hub,
        number,
        AzureFirewallSubnet=f"10.{number}.254.0/26",
        RouteServerSubnet=f"10.{number}.0.0/26",
        GatewaySubnet=f"10.{number}.255.0/27",
        appliances=f"10.{number}.1.0/24",
    )
    peers = []
    for i in range(draw(st.integers(0, 2))):
        nva = f"nva{number}{i}"
        peers.append(nva)
        file["nvas"][nva] = {
            "subnet": f"{hub}/appliances",
            "asn": draw(st.sampled_from((65001, 65002))),
            "daemon": draw(st.sampled_from(("frr", "bird"))),
            "advertises": draw(st.lists(st.sampled_from(POOL), unique=True, max_size=3)),
            "prepend": draw(st.integers(0, 2)),
            "communities": draw(st.lists(st.sampled_from(("no-advertise", "no-export", "65001:7")), max_size=1)),
        }
        if draw(st.integers(0, 2)) == 0:
            peers[-1] = f"{nva}/{_several_nics(draw, file['nvas'][nva], hub)}"
        site = f"branch{number}{i}"
        if draw(st.booleans()):
            file["nvas"][nva]["connects_to"] = [site]
            file["sites"][site] = {"asn": 65010 + i, "prefixes": f"10.20{number}.{64 * i}.0/18"}
    if draw(st.integers(0, 3)) == 0:
        file["nvas"][f"box{number}"] = {"subnet": f"{hub}/appliances"}
    if draw(st.booleans()) or peers:
        file["route_servers"][f"rs{number}"] = {
            "virtual_network": hub,
            "branch_to_branch": draw(st.booleans()),
            "hub_routing_preference": draw(st.sampled_from(PREFERENCES)),
            "own_ranges": draw(st.sampled_from(("2026", "2021"))),
            "peers": peers,
        }
    if draw(st.booleans()):
        circuits = draw(st.lists(st.sampled_from(CIRCUITS), min_size=1, max_size=2, unique=True))
        file["circuits"] |= {circuit: {} for circuit in circuits}
        lines = []
        for circuit in circuits:
            options = {"authorization": f"of-{number}-{circuit[-1]}"} if draw(st.booleans()) else {}
            lines.append({circuit: {"routing_weight": draw(st.sampled_from((0, 0, 10, 20))), **options}})
        file["gateways"][f"er{number}"] = {"type": "ExpressRoute", "virtual_network": hub, "connects_to": lines}
        if draw(st.booleans()):
            file["gateways"][f"er{number}"]["instances"] = [f"10.{number}.255.9"]
    if draw(st.booleans()):
        site = f"store{number}"
        file["sites"][site] = {"asn": 65030 + number, "prefixes": f"10.22{number}.0.0/16"}
        file["gateways"][f"vpn{number}"] = {
            "type": "Vpn",
            "virtual_network": hub,
            "active_active": f"rs{number}" in file["route_servers"] or draw(st.booleans()),
            "connects_to": [{site: {"bgp": draw(st.booleans())}}],
        }
        if draw(st.integers(0, 3)) == 0:
            standby = {"asn": 65030 + number, "prefixes": f"10.22{number}.0.0/16", "router": f"10.22{number}.0.2"}
            file["sites"][f"backup{number}"] = standby | {"host": f"10.22{number}.0.20"}
            file["gateways"][f"vpn{number}"]["connects_to"].append({f"backup{number}": {"bgp": True}})


def _customers(draw: st.DrawFn, file: dict[str, Any]) -> None:
    """Data centres behind circuits, the last of which has none; two may be one network behind both.

    They have one router or two, maybe one for each edge; one that relays may be behind several circuits.
    """
    for circuit, options in file["circuits"].items():
        number, options["edges"] = circuit[-1], draw(st.integers(1, 2))
        if circuit == CIRCUITS[-1] and draw(st.booleans()):
            continue
        relays = [router for router, _, each in _site_routers(file) if each.get("transit")]
        router: str = draw(st.sampled_from((*relays, f"dc{number}")))
        options["connects_to"] = [router]
        if router in relays:
            continue
        site = file["sites"][router] = {"asn": 65020, "prefixes": f"10.21{number}.0.0/16"}
        transit = st.fixed_dictionaries({}, optional={"transit": st.just(True)})
        if draw(st.booleans()):
            two = {f"{router}-{name}": draw(transit) for name in ("a", "b")}
            ends = [[one] for one in two] + [[*two]] * (options["edges"] - 1)
            site["routers"], options["connects_to"] = two, draw(st.sampled_from(ends))
            continue
        site |= draw(transit)
        if number == "2" and draw(st.booleans()):
            site |= {"prefixes": "10.211.0.0/16", "router": "10.211.0.2", "host": "10.211.0.20"}


def _site_routers(file: dict[str, Any]) -> list[tuple[str, int, dict[str, Any]]]:
    """The routers of sites, each with its ASN and its options."""
    sites = file["sites"].items()
    return [(router, s["asn"], each) for site, s in sites for router, each in s.get("routers", {site: s}).items()]


def _on_premises(draw: st.DrawFn, file: dict[str, Any]) -> None:
    """What routers of sites announce besides the sites' ranges, and links between sites."""
    routers = _site_routers(file)
    for _, _, options in routers:
        if draw(st.integers(0, 2)) == 0:
            options["advertises"] = draw(st.lists(st.sampled_from(WIDER), min_size=1, max_size=2, unique=True))
            options["advertise_links"] = draw(st.booleans())
    for (_, asn, options), (other, others, _) in combinations(routers, 2):
        if asn != others and draw(st.integers(0, 3)) == 0:
            options.setdefault("connects_to", []).append(other)
            options.setdefault("static_routes", {})[draw(st.sampled_from(WIDER))] = other


def _several_nics(draw: st.DrawFn, nva: dict[str, Any], hub: str) -> str:
    """Give an appliance two NICs in place of one, and return the name of that with its sessions."""
    del nva["subnet"]
    nva["nics"] = {
        "outside": {"subnet": f"{hub}/appliances", "snat": draw(st.sampled_from((False, True)))},
        "in.side_1": {"subnet": f"{hub}/workload", "ip_forwarding": draw(st.integers(0, 3)) > 0},
    }
    nva["policy_routing"] = draw(st.booleans())
    nva["static_routes"] = draw(st.dictionaries(st.sampled_from(TARGETS), st.sampled_from([*nva["nics"]]), max_size=2))
    chosen: str = draw(st.sampled_from([*nva["nics"]]))
    return chosen


def _join(draw: st.DrawFn, file: dict[str, Any]) -> None:
    """Appliances between two peered hubs: with both route servers as peers, and with a tunnel from one to the other."""
    first, second = ([nva for nva in file["nvas"] if nva.startswith(f"nva{hub}")] for hub in (1, 2))
    for server, each in (("rs1", second), ("rs2", first)):
        if draw(st.booleans()) and each and server in file["route_servers"]:
            nics = file["nvas"][each[0]].get("nics")
            nic: str = draw(st.sampled_from([*nics])) if nics else ""
            file["route_servers"][server]["peers"].append(f"{each[0]}/{nic}" if nic else each[0])
            override: str = draw(st.sampled_from(("", "as_override", "strip_route_server_asn")))
            file["nvas"][each[0]] |= {override: True} if override else {}
    if draw(st.booleans()) and first and second and file["nvas"][first[0]]["asn"] != file["nvas"][second[-1]]["asn"]:
        file["nvas"][first[0]]["overlays"] = [{second[-1]: {"public": draw(st.booleans())}}]


def _connections(draw: st.DrawFn, file: dict[str, Any]) -> None:
    """Options of VPN gateways' connections; those without a route server connect to appliances, and to each other."""
    vpns = {name: gateway for name, gateway in file["gateways"].items() if gateway["type"] == "Vpn"}
    if draw(st.booleans()) and vpns:
        file["route_servers"].pop(f"rs{min(vpns)[-1]}", None)
    served = {server["virtual_network"] for server in file["route_servers"].values()}
    for name, gateway in vpns.items():
        number = name[-1]
        for position, connection in enumerate(gateway["connects_to"], 1):
            for options in connection.values():
                if options["bgp"]:
                    addresses = f"10.22{number}.255.{position}", f"169.254.2{number}.{4 * position + 2}"
                    chosen = {
                        "address_prefixes": f"10.23{number}.0.0/16",
                        "bgp_peering_address": draw(st.sampled_from(addresses)),
                    }
                    options.update({key: value for key, value in chosen.items() if draw(st.booleans())})
                if draw(st.booleans()):
                    options["instances"] = [draw(st.integers(0, 1)) if gateway["active_active"] else 0]
        hub = gateway["virtual_network"]
        if hub not in served or draw(st.integers(0, 3)) == 0:
            gateway["asn"] = 65500 + int(number)
        if hub in served:
            continue
        far = draw(st.sampled_from([*file["nvas"], ""]))
        nva = file["nvas"].get(far, {})
        subnets = [nva.get("subnet", ""), *(nic["subnet"] for nic in nva.get("nics", {}).values())]
        if "asn" in nva and not any(subnet.startswith(hub) for subnet in subnets):
            if draw(st.booleans()):
                nva["loopback"] = f"10.99.1.{number}"
            nic: str = draw(st.sampled_from([*nva.get("nics", ()), ""]))
            gateway["connects_to"].append(f"{far}/{nic}" if nic else far)
    one, *others = vpns or [""]
    bgp = draw(st.booleans())
    if others and (not bgp or vpns[one].get("asn") != vpns[others[0]].get("asn")):
        vpns[one]["connects_to"].append(others[0] if bgp else {others[0]: {"bgp": False}})


def _gateway_tables(draw: st.DrawFn, file: dict[str, Any]) -> None:
    """Route tables of some GatewaySubnets: towards sites, peered networks, and the gateways' own instances."""
    for name in [gateway["virtual_network"] for gateway in file["gateways"].values()]:
        subnets, number = file["virtual_networks"][name]["subnets"], name[-1]
        if draw(st.booleans()) or not isinstance(subnets["GatewaySubnet"], str):
            continue
        own = (f"10.{number}.10.0/24", f"10.{number}.255.0/27", f"10.22{number}.0.0/16")
        forwards = [nva for nva, each in file["nvas"].items() if each.get("subnet", "").startswith(name)]
        hops = st.sampled_from(("None", "VnetLocal", *forwards, *forwards))
        file["route_tables"][f"{name}-gateways"] = {
            "routes": draw(
                st.dictionaries(st.sampled_from((*own, "10.211.0.0/16", "10.11.0.0/16")), hops, min_size=1, max_size=2)
            )
        }
        subnets["GatewaySubnet"] = {"prefix": subnets["GatewaySubnet"], "route_table": f"{name}-gateways"}


def _names(link: str | dict[str, Any]) -> Iterable[str]:
    return [link] if isinstance(link, str) else link


def _relays(draw: st.DrawFn, file: dict[str, Any], number: int) -> None:
    """Appliances of a hub that peer with each other, from NIC to NIC; some of them with no route server."""
    joined = {name: options["overlays"] for name, options in file["nvas"].items() if "overlays" in options}
    ends = {nva for name, links in joined.items() for nva in (name, *(far for link in links for far in link))}
    nvas = [nva for nva in file["nvas"] if nva.startswith(f"nva{number}") and nva not in ends]
    if not nvas or draw(st.booleans()):
        return
    for i in range(draw(st.integers(1, 2))):
        nvas.append(f"node{number}{i}")
        file["nvas"][nvas[-1]] = {
            "subnet": f"hub{number}/{draw(st.sampled_from(('appliances', 'workload')))}",
            "asn": draw(st.sampled_from((65001, 65002))),
            "advertises": draw(st.lists(st.sampled_from(POOL), unique=True, max_size=2)),
        }
    for one, other in combinations(nvas, 2):
        internal = file["nvas"][one]["asn"] == file["nvas"][other]["asn"]
        if draw(st.integers(0, 3)):
            options: dict[str, Any] = {"next_hop_self": draw(st.booleans())}
            if internal:
                options["route_reflector_client"] = draw(st.booleans())
            file["nvas"][one].setdefault("peers_with", []).append({other: options})


def _loopbacks(draw: st.DrawFn, file: dict[str, Any]) -> None:
    """Loopbacks of some appliances that peer with each other, and what leads there from every subnet with peers."""
    ends = {far for nva in file["nvas"].values() for peer in nva.get("peers_with", ()) for far in peer}
    ends |= {name for name, nva in file["nvas"].items() if "peers_with" in nva}
    found = {}
    for number, name in enumerate(name for name in file["nvas"] if name in ends):
        if draw(st.integers(0, 2)) == 0 or "loopback" in file["nvas"][name]:
            found[name] = file["nvas"][name].setdefault("loopback", f"10.99.0.{number}")
    routes = {f"{address}/32": name for name, address in found.items()}
    for hub in (name for name in file["virtual_networks"] if name.startswith("hub") and routes):
        subnets, table = file["virtual_networks"][hub]["subnets"], f"{hub}-appliances"
        subnets["appliances"] = {"prefix": subnets["appliances"], "route_table": table}
        file["route_tables"][table] = {"routes": dict(routes)}
        file["route_tables"][f"{hub}-work"]["routes"] |= routes


def _static_routes(draw: st.DrawFn, file: dict[str, Any]) -> None:
    """Static routes of some appliances: to links' far ends, to their own NICs, to an address next to them."""
    for nva in file["nvas"].values():
        hops = [*nva.get("connects_to", ()), *(far for link in nva.get("overlays", ()) for far in link)]
        hops += [*nva.get("nics", ())]
        if nva.get("subnet", "").endswith("/appliances"):
            hops.append(f"10.{nva['subnet'].removeprefix('hub')[0]}.1.9")
        if "asn" not in nva or not hops or draw(st.integers(0, 2)):
            continue
        more = draw(st.dictionaries(st.sampled_from(TARGETS), st.sampled_from(hops), min_size=1, max_size=2))
        nva["static_routes"] = nva.get("static_routes", {}) | more
        nva["redistribute_static"] = draw(st.booleans())


def _second_ways(draw: st.DrawFn, file: dict[str, Any]) -> None:
    """Sites of circuits, VPN gateways and appliances with one more way: by an appliance."""
    for site, asn, options in _site_routers(file):
        others = [
            name
            for name, nva in file["nvas"].items()
            if "asn" in nva and site not in nva.get("connects_to", []) and nva["asn"] != asn
        ]
        if others and draw(st.integers(0, 2)) == 0:
            router = draw(st.sampled_from(others))
            file["nvas"][router].setdefault("connects_to", []).append(site)
        near = [name for name, router in {**file["nvas"], **file["gateways"]}.items() if _leads_to(router, site)]
        if near:
            options["prepend"] = draw(st.dictionaries(st.sampled_from(near), st.integers(1, 2), max_size=2))


def _exports(draw: st.DrawFn, file: dict[str, Any]) -> None:
    """Export rules of some appliances, towards route servers, sites and whoever is at the end of a tunnel."""
    for name, nva in file["nvas"].items():
        peers = [server for server, options in file["route_servers"].items() if name in options["peers"]]
        peers += [far for link in (*nva.get("connects_to", ()), *nva.get("overlays", ())) for far in _names(link)]
        peers += [gateway for gateway, options in file["gateways"].items() if name in _machines(options["connects_to"])]
        if draw(st.booleans()) and peers:
            nva["exports"] = draw(st.lists(_rules(peers), max_size=3))

    routers = {**file["nvas"], **file["circuits"], **file["gateways"]}
    for site, _, options in _site_routers(file):
        near = [name for name, router in routers.items() if _leads_to(router, site)]
        if draw(st.integers(0, 2)) == 0 and near:
            options["exports"] = draw(st.lists(_rules(near), max_size=2))


def _leads_to(router: dict[str, Any], site: str) -> bool:
    links = router.get("connects_to", ())
    return site in links or any(isinstance(each, dict) and each.get(site, {}).get("bgp") for each in links)


def _machines(links: Iterable[str | dict[str, Any]]) -> set[str]:
    """What links lead to, NICs by their machines."""
    return {name.partition("/")[0] for link in links for name in _names(link)}


def _rules(peers: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    prefixes = st.sampled_from(POOL).flatmap(lambda p: st.sampled_from((p, f"{p} or longer")))
    changes = st.fixed_dictionaries(
        {},
        optional={
            "prepend": st.integers(1, 3),
            "communities": st.sampled_from(("no-export", "65001:8")),
            "med": st.integers(0, 20),
            "origin": st.sampled_from(("igp", "egp", "incomplete")),
        },
    )
    what = st.one_of(st.just({"deny": True}), changes.map(lambda each: {"set": each} if each else {}))
    conditions = st.fixed_dictionaries(
        {},
        optional={
            "to": st.sampled_from(peers),
            "prefix": st.lists(prefixes, min_size=1, max_size=2, unique=True),
            "as_path": st.sampled_from((65515, "^$", "_65020$", "^65010_", 12076)),
            "community": st.sampled_from(("65001:7", "no-export")),
        },
    )
    return st.builds(lambda one, other: {**one, **other}, conditions, what)


def _peering(draw: st.DrawFn, file: dict[str, Any], spoke: str, hub: str) -> dict[str, Any]:
    used = [*file["route_servers"].values(), *file["gateways"].values()]
    uses = any(each["virtual_network"] == hub for each in used) and draw(st.booleans())
    return {
        "between": [hub, spoke],
        "use_remote_gateways": spoke if uses else False,
        "allow_gateway_transit": hub if uses or draw(st.booleans()) else False,
        "allow_forwarded_traffic": draw(st.booleans()),
        "global": draw(st.booleans()),
    }


@dataclass(frozen=True)
class Wish:
    """A change that Azure would accept, and what becomes of the lab."""

    change: Change
    lab: Lab


def wishes(built: Lab, lab: Lab) -> list[Wish]:
    """Everything small that operators may change of a lab as it is now; `built` is the lab as it was built."""
    found: list[Wish] = []
    for change in _candidates(built, lab.azure):
        try:
            after = carry_out(built, lab.azure, [change]).azure
        except InvalidInput:
            continue
        if after != lab.azure and settles(built, after):
            found.append(Wish(change, replace(lab, azure=after)))
    return found


def _candidates(built: Lab, azure: Azure) -> Iterator[Change]:
    for server in azure.route_servers:
        yield DeleteRouteServer(server.name)
        yield SetRouteServerSettings(server.name, not server.branch_to_branch)
        yield from (DeletePeer(server.name, peer.name) for peer in server.peers)
    yield from (DeleteGateway(each.name) for each in azure.gateways)
    for gateway in built.azure.gateways:
        yield CreateGateway(gateway.name, gateway.virtual_network, gateway.kind, gateway.instances, gateway.asn)
    yield from (DeleteConnection(each.name) for each in azure.connections)
    for circuit in azure.circuits:
        yield from (DeleteAuthorization(circuit.name, name) for name in circuit.authorizations)
    for circuit in built.azure.circuits:
        yield from (CreateAuthorization(circuit.name, name) for name in circuit.authorizations)
    for each in built.azure.connections:
        yield CreateConnection(each.name, each.gateway, each.remote, each.authorization or None)
    for server in built.azure.route_servers:
        yield CreateRouteServer(server.name, server.virtual_network, server.instances)
        yield from (PutPeer(server.name, peer.name, peer.asn, peer.address) for peer in server.peers)
    for side in built.azure.peerings:
        yield DeletePeering(side.local, side.remote)
        for uses in (side.use_remote_gateways, not side.use_remote_gateways):
            yield PutPeering(side.local, side.remote, uses, side.allow_gateway_transit, side.allow_forwarded_traffic)
    yield from (SyncPeering(side.local, side.remote) for side in azure.peerings)
    for number, network in enumerate(azure.virtual_networks, 101):
        first = built.azure.virtual_network[network.name].address_space[0]
        yield SetAddressSpace(network.name, (first,))
        yield SetAddressSpace(network.name, (first, IPv4Network(f"10.{number}.0.0/16")))
    for firewall in azure.firewalls:
        yield SetFirewallRules(firewall.name, firewall.rules[1:])
        yield SetFirewallRules(firewall.name, (FirewallRule(RuleAction.ALLOW), *firewall.rules))
    yield from (SetIpForwarding(nic.name, not nic.ip_forwarding) for nic in customer_nics(azure))
    for appliance in azure.appliances:
        former = built.azure.appliance[appliance.name]
        fewer, more = appliance.advertises[1:], (*appliance.advertises, IPv4Network("10.92.0.0/16"))
        yield from (SetAdvertisedPrefixes(appliance.name, prefixes) for prefixes in (fewer, more, former.advertises))
        longer = ExportRule(prefixes=(PrefixMatch(IPv4Network("0.0.0.0/0"), True),), changes=PathChanges(1, med=3))
        for exports in ((), former.exports, (longer, *former.exports)):
            yield SetExportPolicy(appliance.name, exports)
