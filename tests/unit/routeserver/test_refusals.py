"""Refused sessions: each reason is news once, and no speaker makes more news than a log can hold."""

from __future__ import annotations

from labkit.routeserver.refusals import ADDRESSES, AGAIN, REASONS, Refusals


def test_the_same_refusal_is_news_again_after_a_while() -> None:
    refusals = Refusals()
    assert [refusals.is_news("10.1.0.9", "bad peer AS", at) for at in (0.0, 1.0, AGAIN, AGAIN + 1)] == [
        True,
        False,
        True,
        False,
    ]


def test_every_reason_and_every_address_is_news() -> None:
    refusals = Refusals()
    assert refusals.is_news("10.1.0.9", "bad peer AS", 0.0)
    assert refusals.is_news("10.1.0.9", "unacceptable hold time", 1.0)
    assert refusals.is_news("10.1.0.8", "bad peer AS", 2.0)


def test_a_speaker_with_ever_new_reasons_is_bounded_and_hides_no_other() -> None:
    refusals = Refusals()
    news = [refusals.is_news("10.1.0.9", f"{asn} in its OPEN", asn / 1000) for asn in range(10_000)]
    assert sum(news) == REASONS
    assert refusals.is_news("10.1.0.8", "bad peer AS", 10.0)


def test_many_addresses_are_bounded() -> None:
    refusals = Refusals()
    news = [refusals.is_news(f"10.1.{n >> 8}.{n & 255}", "no peer has this address", 0.0) for n in range(10_000)]
    assert sum(news) == ADDRESSES
