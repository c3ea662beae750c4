"""`python3 -m labkit.tracker`, in an appliance that tracks the service behind it.

It pings a target again and again. While the target does not answer, the daemon withdraws what the appliance originates:
BGP is well, but packets that follow it would be lost [service-tracking].

Environment: `LABKIT_DAEMON` (the BGP daemon), `LABKIT_TRACK` (the target's address), `LABKIT_TRACK_ASN` and
`LABKIT_TRACK_PREFIXES` (what to withdraw, with blanks between, unless an operator has changed what it originates).
"""

from __future__ import annotations

import logging
import os
import subprocess
import time
from ipaddress import IPv4Network
from pathlib import Path

from labkit.daemons.protocol import ORIGINATED_FILE, PLATFORM_FOLDER
from labkit.daemons.registry import DAEMONS
from labkit.feed.service import begin
from labkit.tracker.judge import Judge

INTERVAL = 0.5
"""Seconds between two questions, and for which an answer is waited for."""
PATIENCE = 30.0
"""Seconds that the daemon may take to advertise or withdraw."""
GRACE = 10.0
"""Seconds for which silence counts for nothing before the first answer: the network around may still be coming up."""

_log = logging.getLogger("tracker")


def main() -> None:
    """Track until killed. What was withdrawn stays so meanwhile."""
    settings = begin("tracker")
    daemon = DAEMONS[os.environ["LABKIT_DAEMON"]]
    target, asn = os.environ["LABKIT_TRACK"], int(os.environ["LABKIT_TRACK_ASN"])
    rendered = tuple(map(IPv4Network, os.environ["LABKIT_TRACK_PREFIXES"].split()))
    judge = Judge()
    applied = 0
    forgiven_until = time.monotonic() + GRACE
    while True:
        began = time.monotonic()
        answered = answers(target)
        if answered:
            forgiven_until = began
        changed = judge.take(answered or began < forgiven_until)
        if changed:
            _log.info("%s %s", target, "answers" if judge.up else "is silent")
        # Whenever BGP has read its configuration, it originates all of it, also after it was killed.
        configured = configured_at(settings.ready / daemon.services.bgp)
        if configured and (changed or configured != applied):
            originate = daemon.control.advertise if judge.up else daemon.control.withdraw
            prefixes = originated(Path(PLATFORM_FOLDER) / ORIGINATED_FILE, rendered)
            # A daemon that hangs ends the tracker, which is started again and says so in the node's log.
            subprocess.run(originate(asn, prefixes), check=True, capture_output=True, text=True, timeout=PATIENCE)
            applied = configured
        time.sleep(max(0.0, began + INTERVAL - time.monotonic()))  # the pace of the questions


def originated(file: Path, rendered: tuple[IPv4Network, ...]) -> tuple[IPv4Network, ...]:
    """What the appliance originates: by the file of an operator's changes, or as it was `rendered`."""
    try:
        return tuple(map(IPv4Network, file.read_text(encoding="utf-8").split()))
    except FileNotFoundError:
        return rendered


def configured_at(mark: Path) -> int:
    """When a service last had its configuration, by its ready mark; 0 while it has not."""
    try:
        return mark.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def answers(target: str) -> bool:
    """Whether the target answers a ping now."""
    command = ["ping", "-n", "-q", "-c", "1", "-W", str(INTERVAL), target]
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


if __name__ == "__main__":
    main()
