"""What was changed by hand in the daemons of NVAs and sites: their configuration against what labkit has given them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network

from labkit.azure.model import Azure
from labkit.lab.model import Lab
from labkit.lab.sessions import daemon_of, router_daemons
from labkit.operate.look.client import AT_ONCE, LabClient
from labkit.operate.look.live_state import LiveState
from labkit.operate.verify.difference import NOTHING, Difference


def changes_by_hand(live: LiveState, azure: Azure) -> Iterator[Difference]:
    """Every statement that someone has added to a router's configuration, or removed; of routers that are on."""
    routers = [r for r in router_daemons(live.lab) if r in {*live.lab.nva, *live.lab.site_router} and r not in live.off]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda router: _of(live.lab, live.client, azure, router), routers)
        for router, differences in zip(routers, found, strict=True):
            where, hint = f"configuration of {router}, changed by hand", f"labkit shell {router} --bgp"
            for was, now in differences:
                yield Difference(where, "", was, now, hint)


def _of(lab: Lab, client: LabClient, azure: Azure, router: str) -> list[tuple[str, str]]:
    """The statements that were removed, and those that were added, each in place of nothing."""
    done = client.run(router, *daemon_of(lab, router).control.changed_by_hand())
    if done.rc != 0:
        return []
    found = json.loads(done.stdout)
    tracked = _tracked(lab, azure, router)
    removed = [(_text(each), NOTHING) for each in found["removed"] if not _is_of(each, tracked)]
    return [*removed, *((NOTHING, _text(each)) for each in found["added"] if not _is_of(each, tracked))]


def _tracked(lab: Lab, azure: Azure, router: str) -> tuple[IPv4Network, ...]:
    """What a tracker withdraws and advertises again, which is not by hand."""
    nva = lab.nva.get(router)
    return azure.appliance[router].advertises if nva is not None and nva.tracks is not None else ()


def _is_of(statement: list[str], prefixes: tuple[IPv4Network, ...]) -> bool:
    return any(str(prefix) in statement[-1].split() for prefix in prefixes)


def _text(statement: list[str]) -> str:
    return " > ".join(part.removesuffix("{").strip() for part in statement)
