"""BGP speakers outside Azure: NVAs and sites, each deciding as its daemon does. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network

from labkit.azure.model import Azure, PathAttributes
from labkit.daemons.protocol import Daemon
from labkit.daemons.registry import DAEMONS
from labkit.daemons.speaker import AdjRibIn, Advertisements, Best, CustomerSpeaker, LocRib, Session
from labkit.lab.model import Lab
from labkit.lab.plan.speakers import nva_speaker, site_speaker


@dataclass(frozen=True)
class Router:
    """An NVA or a site as a BGP speaker, with the daemon whose habits decide."""

    speaker: CustomerSpeaker
    daemon: Daemon

    @property
    def name(self) -> str:
        """Its node's name."""
        return self.speaker.name

    @property
    def asn(self) -> int:
        """Its ASN."""
        return self.speaker.asn

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Its sessions."""
        return self.speaker.sessions

    @cached_property
    def by_address(self) -> Mapping[IPv4Address, Session]:
        """Its sessions by the neighbour's address."""
        return {session.neighbour.address: session for session in self.sessions}

    def connects(self, session: Session) -> bool:
        """Whether it opens a session with a neighbour that is there, or accepts it."""
        return self.daemon.decide.connects(self.speaker, session)

    def import_policy(self, session: Session, received: Advertisements) -> dict[IPv4Network, PathAttributes]:
        """What it accepts of the routes that it receives on one of its sessions."""
        return self.daemon.decide.import_policy(self.speaker, session.neighbour, received)

    def loc_rib(self, adj_rib_in: AdjRibIn) -> dict[IPv4Network, Best]:
        """Its best paths."""
        return self.daemon.decide.loc_rib(self.speaker, adj_rib_in)

    def advertises(self, session: Session, loc_rib: LocRib, established: Iterable[Session]) -> Advertisements:
        """What it advertises on a session; `established` are its sessions that are up."""
        return self.daemon.decide.advertises(self.speaker, session, loc_rib, established)


def routers(lab: Lab, azure: Azure) -> dict[str, Router]:
    """The NVAs and sites of a lab; NVAs advertise what `azure` has of them."""
    found = {
        nva.name: Router(nva_speaker(lab, nva, azure.appliance[nva.name]), DAEMONS[nva.daemon]) for nva in lab.bgp_nvas
    }
    of_sites = lab.site_router.values()
    return found | {router.name: Router(site_speaker(lab, router), DAEMONS[router.daemon]) for router in of_sites}
