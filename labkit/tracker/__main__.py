"""`python3 -m labkit.tracker`, in an appliance that tracks the service behind it.

It asks a target again and again. While the target does not answer, FRR withdraws what the appliance says itself: BGP is
well, but whoever follows it would lose packets [service-tracking].

Environment: `LABKIT_TRACK` (the target's address), `LABKIT_TRACK_ASN` and `LABKIT_TRACK_PREFIXES` (what to withdraw,
with blanks between).
"""

from __future__ import annotations

import logging
import os
import subprocess
import time
from pathlib import Path

from labkit.feed.service import begin
from labkit.tracker.judge import Judge

INTERVAL = 0.5
"""Seconds between two questions, and for which an answer is waited for."""
GRACE = 10.0
"""Seconds for which silence says nothing before the first answer: the network around may still be coming up."""

_log = logging.getLogger("tracker")


def main() -> None:
    """Track until killed. What was withdrawn stays so meanwhile."""
    settings = begin("tracker")
    target, asn = os.environ["LABKIT_TRACK"], os.environ["LABKIT_TRACK_ASN"]
    prefixes = os.environ["LABKIT_TRACK_PREFIXES"].split()
    judge = Judge()
    told = 0
    forgiven_until = time.monotonic() + GRACE
    while True:
        began = time.monotonic()
        answered = answers(target)
        if answered:
            forgiven_until = began
        changed = judge.hear(answered or began < forgiven_until)
        if changed:
            _log.info("%s %s", target, "answers" if judge.up else "is silent")
        # Whenever bgpd has read its configuration, it announces all of it, also after it was killed.
        configured = bgpd_configured(settings.ready)
        if configured and (changed or configured != told):
            announce(asn, prefixes, yes=judge.up)
            told = configured
        time.sleep(max(0.0, began + INTERVAL - time.monotonic()))  # the pace of the questions


def bgpd_configured(ready: Path) -> int:
    """When bgpd last had its configuration; 0 while it has not."""
    try:
        return (ready / "bgpd").stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def answers(target: str) -> bool:
    """Whether the target answers a ping now."""
    command = ["ping", "-n", "-q", "-c", "1", "-W", str(INTERVAL), target]
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


def announce(asn: str, prefixes: list[str], *, yes: bool) -> None:
    """Have FRR announce the prefixes, or withdraw them. Raises CalledProcessError if it refuses."""
    lines = ["configure terminal", f"router bgp {asn}", "address-family ipv4 unicast"]
    lines += [f"{'' if yes else 'no '}network {prefix}" for prefix in prefixes]
    command = ["vtysh", *(word for line in lines for word in ("-c", line))]
    subprocess.run(command, check=True, capture_output=True, text=True)


if __name__ == "__main__":
    main()
