"""What becomes of a model by changes, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from labkit.azure.changes.base import Change
from labkit.azure.changes.names import as_known
from labkit.azure.changes.refusal import refuse
from labkit.azure.model import Azure, RouteServer
from labkit.azure.rules.adjacency import connected_peerings


@dataclass(frozen=True, slots=True)
class Done:
    """One change as it was carried out: `what` it did to its object."""

    change: Change
    what: str

    @property
    def title(self) -> str:
        """The change in a line."""
        return f"{self.change.subject}: {self.what}"


@dataclass(frozen=True, slots=True)
class ChangeOutcome:
    """The model after changes, and what each of them did."""

    azure: Azure
    done: tuple[Done, ...]


def carry_out(
    azure: Azure, changes: Iterable[Change], built: Callable[[Azure], Azure] = lambda azure: azure
) -> ChangeOutcome:
    """Make changes one after the other, all of them or none.

    Azure judges what they make together, so that the order of those that need each other does not matter. It never
    refuses a deletion, whatever is left in the air by it; what was changed before one is judged without it.

    `built` gives what becomes of a model in a lab whose nodes and links are built; it may refuse the model.

    Raises:
        InvalidInput: a change is of something that does not exist, or Azure would refuse the outcome.
    """
    allowed, done = azure, []
    for each in changes:
        change = as_known(each, azure)
        if change.never_refused:
            refuse(allowed, azure)
        done.append(Done(change, change.describe(azure)))
        azure = built(change.apply(azure))
        if change.never_refused:
            allowed = azure
    refuse(allowed, azure)
    return ChangeOutcome(azure, tuple(done))


def servers_that_refresh(before: Azure, after: Azure) -> tuple[str, ...]:
    """The route servers that ask all NVAs for their routes again: those with a new peering [refresh-at-peering]."""

    def peered(azure: Azure, server: RouteServer) -> set[str]:
        return {peering.remote for peering in connected_peerings(azure, server.virtual_network)}

    return tuple(s.name for s in after.route_servers if peered(after, s) - peered(before, s))
