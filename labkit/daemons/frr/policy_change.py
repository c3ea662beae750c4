"""The commands that give a bgpd another export policy, and other prefixes to originate. Pure.

Route-maps and lists by other names than labkit's, which somebody may have made by hand, stay as they are.
"""

from __future__ import annotations

import re

RESEND = "do clear bgp ipv4 unicast * soft out"
"""Has bgpd advertise by its policy as it is now: by itself it would not."""

_LIST = re.compile(r"(?P<what>(?:ip prefix-list|bgp community-list standard|bgp as-path access-list) to-\S+) seq .*")
_MAP = re.compile(r"(?P<what>route-map to-\S+) (?:permit|deny) \d+")
_NETWORK = re.compile(r"network (\S+)")
_NEIGHBOUR = re.compile(r"neighbor (\S+) route-map (to-\S+) out")
_ROUTER = re.compile(r"router bgp \d+")


class _Policy:
    """What a configuration has of a policy: definitions by what they define, networks, route-maps by neighbour."""

    def __init__(self, configuration: str) -> None:
        self.definitions: dict[str, list[str]] = {}
        self.networks: list[str] = []
        self.maps: dict[str, str] = {}
        self.router = ""
        block: list[str] | None = None
        for line in configuration.splitlines():
            words = line.strip()
            if found := _MAP.fullmatch(words):
                block = self.definitions.setdefault(found["what"], [])
                block.append(words)
            elif words.startswith(("match ", "set ")) and block is not None:
                block.append(words)
            else:
                block = None
            if found := _LIST.fullmatch(words):
                self.definitions.setdefault(found["what"], []).append(words)
            elif found := _NETWORK.fullmatch(words):
                self.networks.append(found[1])
            elif found := _NEIGHBOUR.fullmatch(words):
                self.maps[found[1]] = found[2]
            elif _ROUTER.fullmatch(words):
                self.router = words


def policy_commands(configuration: str, policy: str) -> tuple[str, ...]:
    """The commands that make a policy of a bgpd's configuration; none if it has that.

    Both are in the form of frr.conf. `policy` has all of what `frr.policy.policy` gives.
    """
    now, wanted = _Policy(configuration), _Policy(policy)
    changed = [
        what
        for what in dict.fromkeys((*wanted.definitions, *now.definitions))
        if sorted(now.definitions.get(what, ())) != sorted(wanted.definitions.get(what, ()))
    ]
    detached = [f"no neighbor {a} route-map {name} out" for a, name in now.maps.items() if a not in wanted.maps]
    attached = [f"neighbor {a} route-map {name} out" for a, name in wanted.maps.items() if now.maps.get(a) != name]
    networks = [f"network {prefix}" for prefix in wanted.networks if prefix not in now.networks]
    networks += [f"no network {prefix}" for prefix in now.networks if prefix not in wanted.networks]
    return (
        *_in_family(wanted.router, detached),
        *(f"no {what}" for what in changed if what in now.definitions),
        *(line for what in changed for line in _defined(wanted.definitions.get(what, ()))),
        *_in_family(wanted.router, [*attached, *networks]),
    )


def _defined(lines: list[str] | tuple[str, ...]) -> list[str]:
    """A definition with the end of each entry of a route-map."""
    found: list[str] = []
    for line in lines:
        if found and line.startswith("route-map "):
            found.append("exit")
        found.append(line)
    return [*found, "exit"] if found and found[0].startswith("route-map ") else found


def _in_family(router: str, statements: list[str]) -> tuple[str, ...]:
    return (router, "address-family ipv4 unicast", *statements, "exit-address-family", "exit") if statements else ()
