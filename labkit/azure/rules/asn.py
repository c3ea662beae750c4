"""Which autonomous system numbers a route server's peer may have."""

from __future__ import annotations

from labkit.azure.model import ROUTE_SERVER_ASN

AS_TRANS = 23456
MAX_ASN = 2**32 - 1
MICROSOFT_ASN = 12076
"""The ASN of Microsoft's edge routers (MSEE), where ExpressRoute circuits end [msee-asns]."""

_AZURE_RESERVED = frozenset((8074, 8075, MICROSOFT_ASN, ROUTE_SERVER_ASN, *range(65517, 65521)))
_DOCUMENTATION = range(64496, 64512)
_DOCUMENTATION_AND_RESERVED = range(65535, 65552)
_PRIVATE = range(64512, 65536), range(4200000000, MAX_ASN)


def reserved_asn(asn: int) -> str | None:
    """Why Azure refuses `asn` for a peer, as a clause without a full stop; None if it is allowed.

    Public or private except those that Azure or IANA reserve [permitted-asns, external-bgp, no-65515-on-premises].
    Zero and the last one (RFC 7607, RFC 7300) are not AS numbers of anybody; AS 0 in a path is dropped as well
    [as-zero].
    """
    if not 0 < asn < MAX_ASN:
        return f"{asn} is not a usable ASN; it must lie between 1 and {MAX_ASN - 1}"
    if asn == ROUTE_SERVER_ASN:
        return f"ASN {asn} is the route server's own"
    if asn in _AZURE_RESERVED:
        return f"ASN {asn} is reserved by Azure"
    if asn == AS_TRANS or asn in _DOCUMENTATION or asn in _DOCUMENTATION_AND_RESERVED:
        return f"ASN {asn} is reserved by IANA"
    return None


def is_four_byte(asn: int) -> bool:
    """Whether `asn` needs four bytes: undocumented for peers but seen to work, so worth a warning, not an error.

    The documentation asks for two bytes; four were seen to work [four-byte-asns].
    """
    return asn > 0xFFFF


def is_private(asn: int) -> bool:
    """Whether a circuit hides `asn` from customers: those for private use (RFC 6996), as 65515 is.

    Fact: [msee-strips-private].

    65535, which nobody may have (RFC 7300), routers strip with them.
    """
    return any(asn in numbers for numbers in _PRIVATE)
