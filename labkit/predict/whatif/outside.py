"""What NVAs and sites will say after a change: what their configuration makes of it, and their own habits. Pure.

A learner changes their FRR by hand. So what is predicted of them is a difference: what the lab file would make them say
after the change against what it makes them say now, put on what they do say now.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network

from labkit.azure.model import AsPath, Azure, PathAttributes
from labkit.predict.azure_speakers import AdjRibsIn, Advertisements, AzureSpeakers
from labkit.predict.converge import AdjRibsOut, ConvergedNetwork, CustomerRouters, RouterState, converge
from labkit.predict.customer_routers import Session

ASSUMED = (
    "NVAs and sites choose and forward as the lab file configures their FRR; they drop nothing.",
    "What somebody has changed in their FRR by hand stays as it is.",
)
"""What a prediction takes for granted, for its readers."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A router tells a neighbour of a prefix what the lab file does not explain, and has a reason to change it.

    It is taken to keep saying it.
    """

    router: str
    neighbour: str
    prefix: IPv4Network


class Followers:
    """The NVAs and sites of a running lab, who hear of a change and may pass it on.

    Args:
        said: what they tell now, on each of their sessions that are up.
    """

    def __init__(self, outside: CustomerRouters, azure: Azure, heard: AdjRibsIn, said: AdjRibsOut) -> None:
        self.outside = outside
        self.now = outside.spoken(AzureSpeakers(azure, heard), said)
        self._configured = {
            session: outside.kept(session, router.tells(session, self.now.best[name], self.now.held[name]))
            for name, router in outside.routers.items()
            for session in self.now.held[name]
        }

    def after(self, azure: Azure, heard: AdjRibsIn) -> ConvergedNetwork:
        """What everybody says once a model is `azure`, and what they tell by themselves has become what was `heard`.

        Raises:
            NeverSettlesError: there is no end.
        """
        said = self._said(heard)
        return converge(self.outside, azure, heard, said, lambda s, announced: self._adjusted(s, said[s], announced))

    def unknown(self, heard: AdjRibsIn, after: RouterState) -> Iterator[Unknown]:
        """Where `after` is not what configurations would make of it, because what is said now is not either."""
        said = self._said(heard)
        for name, router in self.outside.routers.items():
            for session in after.held.get(name, ()):
                told = router.tells(session, after.best[name], after.held[name])
                made = self.outside.kept(session, told)
                had = self._configured[session]
                for prefix in sorted(made.keys() | had.keys()):
                    one, other = had.get(prefix), said[session].get(prefix)
                    if made.get(prefix) != one and _habit(router.asn, one, other) is None:
                        yield Unknown(name, session.neighbour.name, prefix)

    def _said(self, heard: AdjRibsIn) -> AdjRibsOut:
        return self.outside.said(heard, self.now.said, self.now.said)

    def _adjusted(self, session: Session, said: Advertisements, announced: Advertisements) -> Advertisements:
        asn = self.outside.routers[session.router].asn
        made, had = self.outside.kept(session, announced), self._configured[session]
        habits = {_habit(asn, had[p], said[p]) for p in had.keys() & said.keys()}
        usual = next(iter(habits)) if len(habits) == 1 else 0
        found = {}
        for prefix in made.keys() | said.keys():
            one, new = had.get(prefix), made.get(prefix)
            habit = usual if one is None and prefix not in said else _habit(asn, one, said.get(prefix))
            if new == one or habit is None:
                now = said.get(prefix)
            else:
                now = new and replace(new, as_path=_longer(new.as_path, asn, habit))
            if now is not None:
                found[prefix] = now
        return found


def _habit(asn: int, made: PathAttributes | None, said: PathAttributes | None) -> int | None:
    """How many times more a router puts its ASN into a path than configured; None if it differs in another way."""
    if made is None or said is None:
        return 0 if made is said else None
    more = _own(said.as_path, asn) - _own(made.as_path, asn)
    return more if replace(made, as_path=_longer(made.as_path, asn, more)) == said else None


def _own(as_path: AsPath, asn: int) -> int:
    return next((i for i, hop in enumerate(as_path) if hop != asn), len(as_path))


def _longer(as_path: AsPath, asn: int, times: int) -> AsPath:
    return (asn,) * times + as_path if times >= 0 else as_path[-times:]
