"""`labkit nva`: what NVAs of the running lab advertise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from labkit.azure.changes.appliances import SetAdvertisedPrefixes, SetExportPolicy, appliance_of
from labkit.cli import complete
from labkit.cli.changing import Trial, change, changing
from labkit.cli.output import Format, FormatOption, LabOption, put, put_json, put_table
from labkit.errors import InvalidInput
from labkit.lab.export_rules import EXAMPLE, rules_of
from labkit.lab.route_table import address_prefix
from labkit.lab.running import with_receivers
from labkit.operate.changes import Now
from labkit.operate.look.running import running

app = typer.Typer(help="Show and change what NVAs of the running lab advertise by BGP.", no_args_is_help=True)

NvaName = Annotated[str, typer.Argument(metavar="NVA", help="The NVA.", autocompletion=complete.nvas)]
Prefixes = Annotated[list[str], typer.Argument(metavar="PREFIX", help="Such as 10.1.0.0/16.")]


@app.command("list")
def list_nvas(lab: LabOption = None, output: FormatOption = Format.TABLE) -> None:
    """List NVAs, the prefixes that they originate, and how many export rules they have."""
    now = Now(running(lab)[0])
    found = [(now.lab.nva[each.name], each) for each in now.azure.appliances]
    if output is Format.JSON:
        put_json(
            [
                {
                    "name": nva.name,
                    "asn": nva.asn,
                    "advertises": [*map(str, each.advertises)],
                    "exports": [*map(str, each.exports)],
                }
                for nva, each in found
            ]
        )
        return
    rows = [(nva.name, nva.asn, ", ".join(map(str, each.advertises)), len(each.exports)) for nva, each in found]
    put_table(("Name", "ASN", "Advertises", "ExportRules"), rows)


@app.command()
@changing
def advertise(ctx: typer.Context, nva: NvaName, prefixes: Prefixes, lab: LabOption = None) -> None:
    """Have an NVA originate prefixes, until `labkit nva withdraw` or `labkit reset`."""
    wanted = [address_prefix(text) for text in prefixes]

    def make(now: Now) -> Sequence[SetAdvertisedPrefixes]:
        appliance = appliance_of(now.azure, nva)
        return [SetAdvertisedPrefixes(appliance.name, tuple(dict.fromkeys((*appliance.advertises, *wanted))))]

    change(ctx, lab, make)


@app.command()
@changing
def withdraw(ctx: typer.Context, nva: NvaName, prefixes: Prefixes, lab: LabOption = None) -> None:
    """Have an NVA no longer originate prefixes. What it has from others it passes on as before."""
    unwanted = [address_prefix(text) for text in prefixes]

    def make(now: Now) -> Sequence[SetAdvertisedPrefixes]:
        appliance = appliance_of(now.azure, nva)
        name, known = appliance.name, appliance.advertises
        for prefix in unwanted:
            if prefix not in known:
                originated = ", ".join(map(str, known)) or "nothing"
                raise InvalidInput(f"{name} does not originate {prefix}.", f"It originates: {originated}.")
        return [SetAdvertisedPrefixes(name, tuple(prefix for prefix in known if prefix not in unwanted))]

    change(ctx, lab, make)


@app.command()
@changing
def exports(
    ctx: typer.Context,
    nva: NvaName,
    rules: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RULE", help=f"All rules, in their order, each as in a lab file: {EXAMPLE}", show_default=False
        ),
    ] = None,
    *,
    clear: Annotated[bool, typer.Option("--clear", help="Remove all rules.")] = False,
    lab: LabOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show the export policy of an NVA, or set it: the first rule that matches a path decides.

    What no rule matches is advertised unchanged. Rules replace those that the NVA has.
    """
    if rules and clear:
        raise InvalidInput("labkit nva exports: rules, and --clear.", "Give one of them.")
    if rules or clear:

        def make(now: Now) -> Sequence[SetExportPolicy]:
            name = appliance_of(now.azure, nva).name
            wanted = SetExportPolicy(name, tuple(rules_of(now.azure, rules or ())))
            return [with_receivers(now.lab, now.azure, wanted)]

        change(ctx, lab, make)
    elif isinstance(ctx.obj, Trial):
        raise InvalidInput("labkit whatif nva exports: no rule.", f"Give all rules, such as {EXAMPLE}, or --clear.")
    else:
        appliance = appliance_of(Now(running(lab)[0]).azure, nva)
        found = appliance.exports
        if output is Format.JSON:
            put_json([*map(str, found)])
        elif found:
            put_table(("Rule", "Export"), [(number, str(rule)) for number, rule in enumerate(found, 1)])
        else:
            put(f"{appliance.name} has no export rule: it advertises all paths unchanged.")
