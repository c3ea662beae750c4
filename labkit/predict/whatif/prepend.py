"""The change outside Azure that can be tried: an NVA's AS path prepending. No verb makes it, its daemon does. Pure.

It is of what route servers receive, not of an export policy: so it can be tried of routers whose policy labkit neither
knows nor sets (`config`, `image`), and on top of any policy. What another export policy would do, `whatif nva exports`
tries.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from labkit.azure.model import Azure, InstanceRoutes, LearnedRoute, PeerKind
from labkit.errors import InvalidInput
from labkit.predict.azure_speakers import AdjRibsIn

MOST_PREPENDS = 20


@dataclass(frozen=True, slots=True)
class Prepend:
    """An NVA prepends its ASN `times` more to the paths it advertises to route servers; less, if negative."""

    nva: str
    times: int

    @property
    def title(self) -> str:
        """The change in a line."""
        word = "more" if self.times >= 0 else "less"
        return f"{self.nva}: prepends its ASN {_times(abs(self.times))} {word} towards route servers"

    def apply(self, azure: Azure, received: AdjRibsIn) -> AdjRibsIn:
        """What Azure's speakers receive then.

        Raises:
            InvalidInput: the NVA is not a peer of a route server, or does not prepend that often.
        """
        names = dict.fromkeys(p.name for s in azure.route_servers for p in s.peers if p.kind is PeerKind.NVA)
        if self.nva not in names:
            raise InvalidInput(
                f"{self.nva} is not an NVA that peers with a route server.",
                f"These are: {', '.join(names) or 'none'}.",
            )
        return replace(received, servers={i: self._longer(table) for i, table in received.servers.items()})

    def _longer(self, table: InstanceRoutes) -> InstanceRoutes:
        return {
            prefix: tuple(self._prepended(path) if path.peer.name == self.nva else path for path in paths)
            for prefix, paths in table.items()
        }

    def _prepended(self, path: LearnedRoute) -> LearnedRoute:
        asn, as_path = path.peer.asn, path.attributes.as_path
        if self.times >= 0:
            as_path = (asn,) * self.times + as_path
        elif as_path[: 1 - self.times] == (asn,) * (1 - self.times):
            as_path = as_path[-self.times :]
        else:
            raise InvalidInput(
                f"{self.nva} does not prepend its ASN {_times(-self.times)} to {path.prefix}.",
                f"Look: labkit learned-routes SERVER {self.nva}",
            )
        return replace(path, attributes=replace(path.attributes, as_path=as_path))


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
