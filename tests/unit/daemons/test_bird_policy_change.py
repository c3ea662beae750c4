"""A bird.conf with another policy is the one that the other policy is rendered to; what is not policy stays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from labkit.daemons.bird.config import files, policy
from labkit.daemons.bird.policy_change import with_policy
from labkit.daemons.speaker import CustomerSpeaker
from labkit.render.environment import environment
from tests.unit.azure.builders import addr, net
from tests.unit.daemons.test_export_policy import POLICY, RS1, RS2, SITE

PLAIN = CustomerSpeaker("fw", 65001, addr("10.1.1.4"), (RS1, RS2, SITE), (net("10.9.0.0/16"),))
SPEAKERS = (
    PLAIN,
    replace(PLAIN, exports=POLICY, networks=(net("10.8.0.0/16"), net("0.0.0.0/0"))),
    replace(PLAIN, exports=POLICY[1:2], networks=()),
    replace(PLAIN, exports=POLICY[3:]),
)


def rendered(speaker: CustomerSpeaker) -> str:
    (file,) = files(speaker)
    return environment().get_template(file.template).render(file.context)


@pytest.mark.parametrize("before", SPEAKERS)
@pytest.mark.parametrize("after", SPEAKERS)
def test_from_policy_to_policy(before: CustomerSpeaker, after: CustomerSpeaker) -> None:
    assert with_policy(rendered(before), policy(after)) == rendered(after)


def test_what_somebody_has_changed_by_hand_stays() -> None:
    by_hand = rendered(PLAIN).replace("hold time 180;", "hold time 30;")
    assert by_hand != rendered(PLAIN)
    changed = with_policy(by_hand, policy(SPEAKERS[1]))
    assert changed == rendered(SPEAKERS[1]).replace("hold time 180;", "hold time 30;")


def test_without_policy_nothing_gets_one() -> None:
    silent = replace(SPEAKERS[1], requires_policy=True)
    assert with_policy(rendered(silent), policy(silent)) == rendered(silent)
    assert "export none;" in rendered(silent)
