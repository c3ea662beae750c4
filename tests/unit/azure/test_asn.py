import pytest

from labkit.azure.rules.asn import is_four_byte, is_private, reserved_asn


@pytest.mark.parametrize(
    "asn",
    [
        *(8074, 8075, 12076, 65515, 65517, 65518, 65519, 65520),  # Azure's [permitted-asns]
        *(23456, 64496, 64511, 65535, 65536, 65551),  # IANA's [permitted-asns]
        *(-1, 0, 2**32 - 1, 2**32),
    ],
)
def test_refused(asn: int) -> None:
    assert reserved_asn(asn) is not None


@pytest.mark.parametrize("asn", [1, 8073, 8076, 12075, 64495, 64512, 65001, 65514, 65516, 65521, 65534, 65552, 65555])
def test_allowed(asn: int) -> None:
    assert reserved_asn(asn) is None


def test_the_reason_names_the_number_and_who_has_it() -> None:
    assert reserved_asn(65515) == "ASN 65515 is the route server's own"
    assert reserved_asn(12076) == "ASN 12076 is reserved by Azure"
    assert reserved_asn(64500) == "ASN 64500 is reserved by IANA"


def test_four_byte_asns_are_allowed_and_distinguished() -> None:
    # MYE peered 65555 [four-byte-asns].
    assert reserved_asn(65555) is None
    assert is_four_byte(65555)
    assert is_four_byte(65536)
    assert not is_four_byte(65535)


@pytest.mark.parametrize(
    ("asn", "private"),
    [
        (64511, False),
        (64512, True),
        (65515, True),
        (65534, True),
        (65535, True),  # nobody may have it (RFC 7300)
        (65536, False),
        (12076, False),
        (4199999999, False),
        (4200000000, True),
        (4294967294, True),
        (4294967295, False),
    ],
)
def test_private(asn: int, private: bool) -> None:
    # [msee-strips-private]; RFC 6996.
    assert is_private(asn) is private
