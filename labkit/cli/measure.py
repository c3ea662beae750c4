"""`labkit measure`: what traffic loses while something breaks."""

from __future__ import annotations

from typing import Annotated, TypedDict

import typer

from labkit.cli import complete
from labkit.cli.output import Colour, Format, FormatOption, LabOption, note, put_json, put_table, span
from labkit.cli.progress import reporter
from labkit.errors import InvalidInput
from labkit.operate.look.client import LabClient
from labkit.operate.look.running import lab_of, running
from labkit.operate.measure import failover as measure
from labkit.operate.measure.flow_loss import Direction
from labkit.operate.measure.flows import Pace
from labkit.operate.measure.packets import FlowLoss

app = typer.Typer(help="Measure traffic while something breaks.", no_args_is_help=True)

_RECOVERED = {True: "yes", False: "NO", None: "not known"}
_COLUMNS = ("Flow", "Port", "Sent", "Lost Forward", "Longest", "At", "Lost Backward", "Longest", "At", "Recovered")


@app.callback()
def _group() -> None:
    """Keep the name of the only command."""


@app.command()
def failover(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FROM", help="A virtual machine, NVA or site (its host).", autocompletion=complete.nodes
        ),
    ],
    target: Annotated[
        str, typer.Argument(metavar="TO", help="Another one, or an address of a node.", autocompletion=complete.nodes)
    ],
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- COMMAND...",
            help="The command that breaks something: it starts once all flows are steady.",
        ),
    ] = None,
    *,
    flows: Annotated[int, typer.Option(help="Number of flows. Each has its own ports, so that ECMP spreads them.")] = 8,
    interval: Annotated[float, typer.Option(help="Milliseconds between two packets of a flow.")] = 5.0,
    settle: Annotated[float, typer.Option(help="Seconds without loss after which flows have recovered.")] = 2.0,
    within: Annotated[
        float | None,
        typer.Option(help="Seconds allowed for the command and the recovery.  \\[default: 240]", show_default=False),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="Seconds to measure without a command.  \\[default: 10]", show_default=False)
    ] = None,
    lab: LabOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Count the packets that UDP flows lose in each direction while a command breaks something.

    For example: labkit measure failover vm1 branch -- labkit stop sdwan-nva

    Forward: the packet did not reach TO. Backward: its answer did not come back.

    For each direction the longest outage is shown, and when it began after the start of the command.

    The measurement ends when the command has ended and all flows have recovered. Without a command it only measures.

    Exit status 1: a flow did not recover, or it is not known whether it did, or the command failed.
    """
    if seconds is not None and command:
        raise InvalidInput("--seconds is for a measurement without a command.", "With a command, use --within.")
    if within is not None and not command:
        raise InvalidInput("--within is for a measurement with a command.", "Without a command, use --seconds.")
    lasts = (240.0 if within is None else within) if command else (10.0 if seconds is None else seconds)
    record, _ = running(lab)
    pace = Pace(flows, interval / 1000)
    event = measure.Event(tuple(command or ()), settle, lasts)
    between = measure.way(lab_of(record), source, target)
    with reporter() as progress:
        found = measure.failover(LabClient(record), between, pace, event, progress)
    if output is Format.JSON:
        put_json(_json(found, pace, event))
    else:
        put_table(_COLUMNS, [_row(i, flow) for i, flow in enumerate(found.flows, 1)], _colour)
    note(_summary(found))
    if not found.recovered or found.status != 0:
        raise typer.Exit(1)


def _row(number: int, flow: FlowLoss) -> tuple[object, ...]:
    ways = (*_cells(flow.forward), *_cells(flow.backward))
    return (number, flow.source_port, flow.sent, *ways, _RECOVERED[flow.recovered])


def _cells(direction: Direction) -> tuple[object, ...]:
    longest = direction.longest
    if longest is None:
        return (0, "-", "-")
    return (direction.lost, f"{longest.seconds * 1000:.0f} ms", f"{longest.began:.3f} s")


def _colour(cell: str) -> Colour | None:
    return {"NO": Colour.RED, "not known": Colour.YELLOW}.get(cell)


def _summary(found: measure.Measurement) -> str:
    """All flows in one sentence, then what went wrong."""
    ways = [
        f"{sum(each.lost for each in one)} {word}"
        for word, one in (
            ("forward", [f.forward for f in found.flows]),
            ("backward", [f.backward for f in found.flows]),
        )
    ]
    lost = f"{' and '.join(ways)} of {sum(f.sent for f in found.flows)} packets lost in {span(found.seconds)}"
    bad, open_ = (sum(flow.recovered is value for flow in found.flows) for value in (False, None))
    flows = f"of {len(found.flows)} flows"
    end = [f"{bad} {flows} did not recover"] if bad else []
    end += [f"whether {open_} {flows} recovered is not known"] if open_ else []
    words = [f"{lost}; {', and '.join(end) or 'all flows recovered'}."]
    unknown = sum(flow.unknown for flow in found.flows)
    if unknown:
        words.append(
            f"Whether {unknown} more packets were lost is not known: a program that measures was held up. "
            "This machine may be too busy: try fewer flows."
        )
    if found.status is None:
        words.append("The command did not end in time and was stopped. Allow more time: --within.")
    elif found.status:
        words.append(f"The command failed: exit status {found.status}.")
    return " ".join(words)


class DirectionRow(TypedDict):
    """What a flow lost one way, in JSON; `began_s` is null if it lost nothing."""

    lost: int
    longest_ms: float
    longest_packets: int
    began_s: float | None


class FlowRow(TypedDict):
    """A flow in JSON; `unknown` packets may have been lost or not, and so `recovered` is null if that is not known."""

    flow: int
    source_port: int
    sent: int
    forward: DirectionRow
    backward: DirectionRow
    unknown: int
    recovered: bool | None


MeasurementJson = TypedDict(
    "MeasurementJson",
    {
        "from": str,
        "from_address": str,
        "to": str,
        "to_address": str,
        "interval_ms": float,
        "seconds": float,
        "command": list[str],
        "command_status": int | None,
        "recovered": bool | None,
        "flows": list[FlowRow],
    },
)
"""A measurement in JSON; `command_status` is null without a command, and for one that was stopped."""


def _json(found: measure.Measurement, pace: Pace, event: measure.Event) -> MeasurementJson:
    return {
        "from": found.way.source,
        "from_address": str(found.way.source_address),
        "to": found.way.target,
        "to_address": str(found.way.target_address),
        "interval_ms": pace.interval * 1000,
        "seconds": round(found.seconds, 3),
        "command": list(event.command),
        "command_status": found.status if event.command else None,
        "recovered": found.recovered,
        "flows": [
            {
                "flow": number,
                "source_port": flow.source_port,
                "sent": flow.sent,
                "forward": _json_direction(flow.forward),
                "backward": _json_direction(flow.backward),
                "unknown": flow.unknown,
                "recovered": flow.recovered,
            }
            for number, flow in enumerate(found.flows, 1)
        ],
    }


def _json_direction(direction: Direction) -> DirectionRow:
    longest = direction.longest
    return {
        "lost": direction.lost,
        "longest_ms": round(longest.seconds * 1000, 1) if longest else 0.0,
        "longest_packets": longest.packets if longest else 0,
        "began_s": round(longest.began, 4) if longest else None,
    }
