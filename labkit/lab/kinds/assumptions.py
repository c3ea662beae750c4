"""What a lab takes for granted where nobody knows for sure what Azure does. Nothing of it is a node."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field
from pydantic.json_schema import WithJsonSchema

from labkit.azure.model import Assumptions as AzureAssumptions
from labkit.azure.model import Azure, ReservedBlocks, VpnNvaTie
from labkit.lab.file.draft import Draft
from labkit.lab.file.schema import SingleSection
from labkit.lab.file.schema_types import Part
from labkit.lab.kinds.addresses import Addresses
from labkit.lab.kinds.kind import Kind


class Assumptions(Part):
    """What to take for granted where nobody knows for sure what Azure does. Defaults have more evidence."""

    route_server_subnet_minimum: Annotated[int, Field(ge=26, le=27)] = 27
    """The smallest RouteServerSubnet: 27 warns of a /27, as old labs have one; 26 refuses it, as the documentation."""
    peers_need_remote_gateways: bool = False
    """True: a peer in a peered virtual network is refused unless that one uses the route server's gateways (2026)."""
    spoke_community: bool = True
    """False: the ranges of spokes don't carry the community 65518:65518 towards NVAs."""
    nva_relay_community: bool = True
    """False: what goes from NVA to NVA doesn't get the community 65517:65517."""
    honours_no_export: bool = True
    """False: route servers pass on to NVAs what has the community no-export."""
    expressroute_wins_ties: bool = True
    """False: under hub_routing_preference ASPath, ExpressRoute shares with VPN and NVA paths of the same length."""
    vpn_nva_tie: VpnNvaTie = VpnNvaTie.SHARED
    """VPN and NVA paths of the same length: shared, or one of them wins."""
    one_expressroute_connection: bool = True
    """False: beside a route server, NICs use all equal paths over ExpressRoute and not one."""
    preference_needs_branch_to_branch: bool = False
    """True: with branch_to_branch off, ExpressRoute wins on NICs whatever the hub_routing_preference."""
    reserved_blocks: Annotated[ReservedBlocks, WithJsonSchema({"enum": ["2026", "2021", 2026, 2021]})] = (
        ReservedBlocks.TODAY
    )
    """The blocks that Azure drops by itself: the 21 of 2026, or the 15 of 2021."""

    def of_route_servers(self) -> AzureAssumptions:
        """What is assumed of every route server."""
        return AzureAssumptions(**self.model_dump(exclude={"reserved_blocks"}))


ASSUMPTIONS: SingleSection[Assumptions] = SingleSection(
    "assumptions",
    "",
    Assumptions,
    "What to take for granted where nobody knows for sure what Azure does.",
    Assumptions,
)


class AssumptionsKind(Kind):
    """The assumptions of a lab."""

    section = ASSUMPTIONS

    def azure(self, draft: Draft, addresses: Addresses, azure: Azure) -> Azure:  # noqa: ARG002
        """See `Kind`."""
        return replace(azure, reserved_blocks=draft.file[ASSUMPTIONS].reserved_blocks)
