"""A speaker as `frr.conf`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields

from labkit.azure.rules.asn import MICROSOFT_ASN, is_private
from labkit.azure.rules.communities import RELAYED
from labkit.azure.rules.limits import VPN_GATEWAY_ROUTES
from labkit.daemons.frr import policy as export_policy
from labkit.daemons.frr.config_files import DAEMONS
from labkit.daemons.protocol import Command, ConfigurationFile, TemplateVariables
from labkit.daemons.speaker import EBGP_MULTIHOP, CustomerSpeaker, EdgeSpeaker, GatewaySpeaker, Speaker, StaticRouter

PATH = "/etc/frr/frr.conf"


def files(speaker: Speaker | StaticRouter) -> tuple[ConfigurationFile, ...]:
    """FRR's one file, for all of its daemons."""
    context = {field.name: getattr(speaker, field.name) for field in fields(speaker)} | {"hops": EBGP_MULTIHOP}
    match speaker:
        case CustomerSpeaker():
            template = "frr.conf.j2"
            context |= _customer(speaker)
        case GatewaySpeaker():
            template = "frr-gateway.conf.j2"
            context |= _gateway(speaker)
        case EdgeSpeaker():
            template = "frr-circuit.conf.j2"
            context |= _edge(speaker)
        case StaticRouter():
            template = "frr-static.conf.j2"
    return (ConfigurationFile("frr.conf", PATH, template, context),)


def policy(speaker: CustomerSpeaker) -> str:
    """All of a customer's frr.conf that an operator changes while the lab runs, in the same form."""
    return export_policy.policy(speaker)


def parser(folder: str) -> Command:
    """Vtysh knows every daemon's commands, and needs none of them to run."""
    return ("usr/bin/vtysh", "-C", "--config_dir", folder)


_REFUSED = re.compile(r"^line (?P<line>\d+): % (?P<what>[^\[:]+)[^:]*: +(?P<text>.*)$", re.MULTILINE)
_OTHERS = re.compile(r"router (?!bgp\b)(?P<name>\S+)|(?P<line>ip (ospf|rip|eigrp|pim|igmp|router)\b.*)")


def mistakes(configuration: str, output: str) -> Iterator[tuple[int, str]]:
    """See `Config`; and lines that are for a daemon which does not run in nodes."""
    for found in _REFUSED.finditer(output):
        yield int(found["line"]), f"{found['what'].strip()}: {found['text'].strip()}"
    for number, line in enumerate(configuration.splitlines(), 1):
        if _OTHERS.match(line.strip()):
            yield number, f"{line.strip()}: of FRR's daemons only {', '.join(DAEMONS)} run in labkit's nodes"


def _customer(speaker: CustomerSpeaker) -> TemplateVariables:
    if speaker.requires_policy:  # any would let routes out
        return {"policy": (), "route_maps": {}, "relayed": ()}
    maps = {neighbour.address: export_policy.route_map(speaker, neighbour) for neighbour in speaker.neighbours}
    relayed = [each for each in speaker.neighbours if export_policy.circuit_tag(speaker, each) is not None]
    return {"policy": tuple(export_policy.policy_lines(speaker)), "route_maps": maps, "relayed": relayed}


_INSIDE_TAG, _GATEWAYS_TAG = 1_000_000, 1_000_001
"""Mark paths from the route server and the other instance, and from other gateways; neighbours count from 1."""


def _gateway(speaker: GatewaySpeaker) -> TemplateVariables:
    senders = list(dict.fromkeys(neighbour.peer for neighbour in speaker.neighbours))
    return {
        "tags": {neighbour.address: 1 + senders.index(neighbour.peer) for neighbour in speaker.neighbours},
        "inside_tag": _INSIDE_TAG,
        "gateways_tag": _GATEWAYS_TAG,
        "microsoft_asn": MICROSOFT_ASN,
        "relayed": ":".join(map(str, RELAYED)),
        "most_from_site": VPN_GATEWAY_ROUTES,
    }


def _edge(speaker: EdgeSpeaker) -> dict[str, list[int]]:
    return {"private": [neighbour.asn for neighbour in speaker.customers if is_private(neighbour.asn)]}
