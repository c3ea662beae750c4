"""The claims that a lab file may make of its running lab."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from labkit.azure.model import NextHopType
from labkit.lab.file.references import Reference
from labkit.lab.file.schema import ListSection
from labkit.lab.file.schema_captures import CaptureProof
from labkit.lab.file.schema_types import AsPath, HopReferences, Part, Prefix, References, Words
from labkit.lab.file.yaml_source import Path


class SessionProof(Part):
    """The BGP sessions between the two are Established; of an NVA, by the NIC that is named as nva/nic."""

    on: Reference
    with_: Annotated[Reference, Field(alias="with")]


class LearnedRouteProof(Part):
    """A route server, an NVA or a site has the prefix from a neighbour."""

    on: Reference
    prefix: Prefix
    from_: Annotated[Reference, Field(alias="from")]
    as_path: AsPath | None = None


class AdvertisedRouteProof(Part):
    """A route server advertises the prefix to a peer."""

    by: Reference
    to: Reference
    prefix: Prefix
    as_path: AsPath | None = None


class EffectiveRouteProof(Part):
    """The NIC of an NVA or a virtual machine has the prefix as an Active effective route."""

    on: Reference
    prefix: Prefix
    type: NextHopType | None = None
    via: References | None = None


class LearnedRoutesProof(Part):
    """A route server, a gateway, an NVA or a site has these prefixes from a neighbour, and no others."""

    on: Reference
    from_: Annotated[Reference, Field(alias="from")]
    rows: dict[Prefix, AsPath]


class AdvertisedRoutesProof(Part):
    """A route server advertises these prefixes to a peer, and no others."""

    by: Reference
    to: Reference
    rows: dict[Prefix, AsPath]


class EffectiveRoutesProof(Part):
    """A NIC has these prefixes as Active effective routes, and no others, apart from those of type None."""

    on: Reference
    rows: dict[Prefix, Annotated[HopReferences, Field(min_length=1)]]


class KernelRouteProof(Part):
    """The node's own kernel has the prefix; of a NIC, the table that packets with its address follow."""

    on: Reference
    prefix: Prefix
    via: References | None = None


class PingProof(Part):
    """The target answers. A site means its host; from a NIC, packets have its address."""

    from_: Annotated[Reference, Field(alias="from")]
    to: Reference


class PathProof(Part):
    """A traceroute gets there, through these nodes or NICs in this order, and never through those."""

    from_: Annotated[Reference, Field(alias="from")]
    to: Reference
    through: References = ()
    never: References = ()


class Rows(Part):
    """The claims that may be denied; exactly one is given."""

    session: SessionProof | None = None
    learned_route: LearnedRouteProof | None = None
    advertised_route: AdvertisedRouteProof | None = None
    effective_route: EffectiveRouteProof | None = None
    kernel_route: KernelRouteProof | None = None
    ping: PingProof | None = None


class Proof(Rows):
    """One claim about the running lab, and how many seconds it may take to hold."""

    path: PathProof | None = None
    learned_routes: LearnedRoutesProof | None = None
    advertised_routes: AdvertisedRoutesProof | None = None
    effective_routes: EffectiveRoutesProof | None = None
    capture: CaptureProof | None = None
    absent: Rows | None = None
    within: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] = 30.0
    not_in: Words = ()


Claim = (
    SessionProof
    | LearnedRouteProof
    | AdvertisedRouteProof
    | EffectiveRouteProof
    | LearnedRoutesProof
    | AdvertisedRoutesProof
    | EffectiveRoutesProof
    | CaptureProof
    | KernelRouteProof
    | PingProof
    | PathProof
)


def claims(part: Rows) -> dict[str, Claim | Rows]:
    """The claims that a proof or an `absent` states, by key. A valid one states exactly one."""
    keys = (k for k in type(part).model_fields if k not in {"within", "not_in"})
    return {k: v for k in keys if (v := getattr(part, k)) is not None}


class _ProofSection(ListSection[list[Proof]]):
    def subject(self, path: Path) -> tuple[str, Path]:
        """See `Section.subject`: a proof is known by its position and its claim."""
        match path:
            case (_, int(position), str(claim), *rest) if rest:
                return f"proof {position + 1} ({claim})", tuple(rest)
            case _:
                return super().subject(path)


PROOFS = _ProofSection(
    "proofs",
    "proof",
    list[Proof],
    "What must hold in the running lab, in order. `not_in` names the variants in which a proof does not hold.",
    list,
)
