"""Valid lab files: the overview lab, and one that uses every form that a lab file may have."""

from __future__ import annotations

from labkit.resources import topologies

OVERVIEW = topologies() / "overview" / "lab.yml"

EVERYTHING = """
name: all
virtual_networks:
  hub:
    address_space: [10.1.0.0/16, 10.9.0.0/16]
    subnets:
      RouteServerSubnet: 10.1.0.0/26
      nva: {prefix: 10.9.1.0/24, route_table: direct}
      AzureFirewallSubnet: 10.1.1.0/26
  spoke:
    address_space: 10.2.0.0/16
    subnets: {work: {prefix: 10.2.1.0/24}}
peerings:
  - between: [hub, spoke]
    use_remote_gateways: spoke
    allow_gateway_transit: [hub]
    allow_forwarded_traffic: no
    global: yes
route_tables:
  direct:
    disable_bgp_route_propagation: on
    routes: {0.0.0.0/0: internet, 10.2.0.0/16: fw, 10.3.0.0/16: 10.9.1.77, 10.4.0.0/16: None, 10.5.0.0/16: vm1}
route_servers:
  rs1:
    virtual_network: hub
    peers:
      - fw
      - fw2: {asn: 65009}
      - fw3: {address: 10.9.1.99}
      - fw4:
    branch_to_branch: true
    hub_routing_preference: ASPath
    own_ranges: 2021
    routes_per_peer: 200
nvas:
  fw: {subnet: hub/nva, asn: 65001, timers: {keepalive: 3, hold: 9}, ip_forwarding: false}
  fw2: {subnet: hub/nva, asn: 65002}
  fw3: {subnet: hub/nva, asn: 65003, strip_route_server_asn: true, stateful: yes, ebgp_multihop: no}
  fw4: {subnet: spoke/work, asn: 65004, advertises: 10.0.0.0/8, connects_to: branch, prepend: 10, as_override: on}
load_balancers:
  lb1: {subnet: hub/nva, backends: [fw, fw2], probe: {port: 179}}
  lb2: {subnet: spoke/work, address: 10.2.1.77, backends: vm1, probe: {port: 22, interval: 10, count: 1}}
firewalls:
  azfw:
    virtual_network: hub
    rules:
      - {action: Allow, sources: 10.2.0.0/16, protocols: TCP, ports: 443}
      - {action: Deny, destinations: [10.9.0.0/16], protocols: [TCP, UDP], ports: [22, 8000-8080]}
      - action: Allow
sites:
  branch: {asn: 65010, prefixes: 10.250.0.0/16}
internet: {prefix: 198.51.100.0/24, host: 198.51.100.20}
virtual_machines:
  vm1: spoke/work
  vm2: {subnet: spoke/work, ip_forwarding: true, mac: 00:0D:3A:00:00:0A, address: 10.2.1.200}
assumptions:
  route_server_subnet_minimum: 26
  spoke_community: no
  nva_relay_community: false
  honours_no_export: no
  expressroute_wins_ties: false
  vpn_nva_tie: nva
  preference_needs_branch_to_branch: true
  reserved_blocks: 2021
proofs:
  - learned_route: {on: rs1, prefix: 10.0.0.0/8, from: fw4, as_path: 65004-65010}
  - learned_route: {on: rs1, prefix: 10.0.0.0/8, from: fw4, as_path: 65004 65010}
  - learned_route: {on: rs1, prefix: 10.0.0.0/8, from: fw4, as_path: 65004}
  - learned_route: {on: rs1, prefix: 10.0.0.0/8, from: fw4, as_path: []}
  - effective_route: {on: vm1, prefix: 0.0.0.0/0, type: None}
  - kernel_route: {on: vm1, prefix: 10.0.0.0/8, via: [fw4, 10.9.1.4]}
  - {ping: {from: branch, to: 10.2.1.200}, within: 2.5}
  - path: {from: branch, to: branch}
  - absent: {session: {on: rs1, with: branch}}
  - {session: {on: rs1, with: fw}, not_in: bare}
  - {session: {on: rs1, with: fw2}, not_in: [bare, more]}
variants:
  bare:
    description: As little as possible.
    internet: null
    route_tables:
      direct: {disable_bgp_route_propagation: null, routes: {10.5.0.0/16: ~}}
    virtual_machines: {vm1: {subnet: spoke/work, address: 10.2.1.99}, vm2: {mac: null, ip_forwarding: null}}
    nvas: {fw4: {prepend: null, as_override: no}}
  more:
    virtual_networks: {spoke: {subnets: {more: 10.2.2.0/24}}, hub: {subnets: {nva: {route_table: null}}}}
    route_servers: {rs1: {peers: [fw, fw2, fw4, fw5]}}
    assumptions: {vpn_nva_tie: vpn, honours_no_export: null}
    nvas: {fw3: null, fw5: {subnet: spoke/more, asn: 65005}}
    proofs:
      - session: {on: rs1, with: fw5}
  same: {}
"""
