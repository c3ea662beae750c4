"""`labkit firewall`: Azure Firewalls of the running lab and their rules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from labkit.azure.changes.base import named
from labkit.azure.changes.firewalls import SetFirewallRules
from labkit.azure.model import FirewallRule, RuleAction, RuleProtocol
from labkit.cli import complete
from labkit.cli.changing import change, changing
from labkit.cli.output import Format, FormatOption, LabOption, put_json, put_table
from labkit.errors import InvalidInput
from labkit.lab.route_table import address_prefix
from labkit.names import meant
from labkit.operate.changes import Now
from labkit.operate.look.running import running

app = typer.Typer(help="Show and change the rules of Azure Firewalls of the running lab.", no_args_is_help=True)

FirewallName = Annotated[
    str, typer.Argument(metavar="FIREWALL", help="The firewall.", autocompletion=complete.firewalls)
]
Sources = Annotated[list[str] | None, typer.Option(metavar="PREFIX", help="Where flows begin.")]
Destinations = Annotated[list[str] | None, typer.Option(metavar="PREFIX", help="Where they go.")]
Protocols = Annotated[list[RuleProtocol] | None, typer.Option(help="Their protocol.")]
Ports = Annotated[list[str] | None, typer.Option(metavar="PORT", help="Destination port, or a range: 8000-8080.")]
Place = Annotated[int | None, typer.Option(min=1, help="The rule's place, from 1. Default: after all others.")]
RuleNumber = Annotated[int, typer.Option(min=1, help="The rule's place, from 1.")]


@app.command()
def show(lab: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """Show the rules of firewalls in the order in which they are tried; what none matches is denied."""
    azure = Now(running(lab)[0]).azure
    if output is Format.JSON:
        put_json(
            [
                {
                    "name": firewall.name,
                    "virtualNetwork": firewall.virtual_network,
                    "privateIPAddress": str(azure.load_balancer[firewall.name].address),
                    "rules": SetFirewallRules(firewall.name, firewall.rules).to_json()["rules"],
                }
                for firewall in azure.firewalls
            ]
        )
        return
    rows = [
        (
            firewall.name,
            str(number),
            str(rule.action),
            ", ".join(map(str, rule.source_addresses)) or "any",
            ", ".join(map(str, rule.destination_addresses)) or "any",
            rule.service,
        )
        for firewall in azure.firewalls
        for number, rule in enumerate(firewall.rules, 1)
    ]
    put_table(("Firewall", "Rule", "Action", "Source", "Destination", "Service"), rows)


@app.command()
@changing
def allow(
    ctx: typer.Context,
    name: FirewallName,
    *,
    source: Sources = None,
    destination: Destinations = None,
    protocol: Protocols = None,
    port: Ports = None,
    at: Place = None,
    lab: LabOption = None,
) -> None:
    """Add a rule that allows flows. Options but --at may be repeated; what they do not name may be anything."""
    _add(ctx, lab, name, _rule(RuleAction.ALLOW, source, destination, protocol, port), at)


@app.command()
@changing
def deny(
    ctx: typer.Context,
    name: FirewallName,
    *,
    source: Sources = None,
    destination: Destinations = None,
    protocol: Protocols = None,
    port: Ports = None,
    at: Place = None,
    lab: LabOption = None,
) -> None:
    """Add a rule that denies flows, those that there are included; options as for `allow`."""
    _add(ctx, lab, name, _rule(RuleAction.DENY, source, destination, protocol, port), at)


@app.command()
@changing
def remove(ctx: typer.Context, name: FirewallName, *, rule: RuleNumber, lab: LabOption = None) -> None:
    """Remove a rule of a firewall."""

    def make(now: Now) -> list[SetFirewallRules]:
        rules = _rules(now, name)
        if rule > len(rules):
            has = f"It has {len(rules)}: labkit firewall show" if rules else "It has none."
            raise InvalidInput(f"firewall {name} has no rule {rule}.", has)
        return [SetFirewallRules(name, (*rules[: rule - 1], *rules[rule:]))]

    change(ctx, lab, make)


def _rule(
    action: RuleAction,
    sources: Iterable[str] | None,
    destinations: Iterable[str] | None,
    protocols: Iterable[RuleProtocol] | None,
    ports: Iterable[str] | None,
) -> FirewallRule:
    first, last = (tuple(map(address_prefix, given or ())) for given in (sources, destinations))
    return FirewallRule(action, first, last, tuple(protocols or ()), tuple(ports or ()))


def _add(ctx: typer.Context, lab: str | None, name: str, rule: FirewallRule, at: int | None) -> None:
    def make(now: Now) -> list[SetFirewallRules]:
        rules = [*_rules(now, name)]
        rules.insert(at - 1 if at is not None else len(rules), rule)
        return [SetFirewallRules(name, tuple(rules))]

    change(ctx, lab, make)


def _rules(now: Now, name: str) -> tuple[FirewallRule, ...]:
    known = meant(name, now.azure.firewall) or name
    named("firewall", known, now.azure.firewall)
    return now.azure.firewall[known].rules
