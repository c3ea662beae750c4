"""`python3 -m labkit.firewall`, in a firewall's instance, with NET_ADMIN; `LABKIT_PROBE_PORT` answers health probes."""

from __future__ import annotations

import os

from labkit.feed.service import begin
from labkit.firewall.service import FirewallService


def main() -> None:
    """Run the service until it is killed. Its rules, and the flows that they have let through, outlive it."""
    FirewallService(begin("firewall"), int(os.environ["LABKIT_PROBE_PORT"])).run()


if __name__ == "__main__":
    main()
