"""What `labkit whatif` predicts is what the rules make of the changed model; and a change and its reverse are none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given, reject
from hypothesis import strategies as st

from labkit.azure.changes.base import Change
from labkit.azure.changes.difference import difference
from labkit.azure.changes.outcome import carry_out
from labkit.azure.changes.route_servers import SetRouteServerSettings
from labkit.azure.changes.route_tables import PutRoute, PutRouteTable
from labkit.azure.changes.virtual_networks import PutPeering
from labkit.azure.model import Azure, HubRoutingPreference, NextHopType
from labkit.azure.rules.effective import effective_routes
from labkit.daemons.speaker import Advertisements
from labkit.errors import InvalidInput
from labkit.predict.whatif.model import predict
from labkit.predict.whatif.prepend import Prepend
from labkit.predict.whatif.routes import nic_changes
from tests.unit.azure.speakers import SpeakersByName
from tests.unit.azure.test_gateway_properties import POOL, azure_speakers

Attempt = Change | Prepend


@st.composite
def attempts(draw: st.DrawFn, azure: Azure) -> Attempt:
    prefix = draw(st.sampled_from(POOL))
    hop = draw(st.sampled_from(azure.nics)).address
    ends = draw(st.sampled_from(azure.peerings))
    on = draw(st.booleans())
    found: list[Attempt] = [
        PutRoute("t", prefix, NextHopType.VIRTUAL_APPLIANCE, hop),
        PutRoute("t", prefix, draw(st.sampled_from((NextHopType.NONE, NextHopType.INTERNET)))),
        PutRouteTable("t", not on),
        PutPeering(ends.local, ends.remote, *draw(st.permutations((on, None, None)))),
    ]
    for server in azure.route_servers:
        found += [
            SetRouteServerSettings(server.name, on),
            SetRouteServerSettings(server.name, hub_routing_preference=draw(st.sampled_from(HubRoutingPreference))),
            *(Prepend(peer.name, draw(st.integers(1, 4))) for peer in server.peers),
        ]
    return draw(st.sampled_from(found))


@given(azure_speakers(), st.data())
def test_a_change_and_its_reverse_are_no_change(speakers: SpeakersByName, data: st.DataObject) -> None:
    attempt = data.draw(attempts(speakers.azure))
    if isinstance(attempt, Prepend):
        prepends = [attempt, replace(attempt, times=-attempt.times)]
        prediction = predict(speakers.azure, speakers.adj_ribs_in, speakers.azure, prepends)
    else:
        reverse = difference(attempt.apply(speakers.azure), speakers.azure)
        after = carry_out(speakers.azure, [attempt, *reverse]).azure
        prediction = predict(speakers.azure, speakers.adj_ribs_in, after)
    assert nic_changes(prediction) == ()
    assert prediction.after.speakers.at_server == speakers.at_server
    assert prediction.after.speakers.at_gateway == speakers.at_gateway
    assert prediction.warnings == ()


@given(azure_speakers(), st.data())
def test_after_is_what_the_rules_make_of_the_changed_model(speakers: SpeakersByName, data: st.DataObject) -> None:
    attempt = data.draw(attempts(speakers.azure))
    changed = speakers.azure
    try:
        if isinstance(attempt, Change):
            changed = carry_out(speakers.azure, [attempt]).azure
        prediction = predict(
            speakers.azure, speakers.adj_ribs_in, changed, [attempt] if isinstance(attempt, Prepend) else []
        )
    except InvalidInput:
        reject()
    again = SpeakersByName(changed, advertised(speakers, attempt), speakers.customers, speakers.sites, speakers.edges)
    for nic in speakers.azure.nic:
        rows = effective_routes(changed, nic, again.learned, again.gateway_routes)
        assert prediction.after.rows[nic] == rows
        before = effective_routes(speakers.azure, nic, speakers.learned, speakers.gateway_routes)
        shown = any(nic in each.nics for each in nic_changes(prediction))
        assert shown is (set(before) != set(rows)), "whichever NIC changes is shown, and no other"


def advertised(speakers: SpeakersByName, attempt: Attempt) -> Mapping[str, Advertisements]:
    """What the NVAs advertise after a change: only prepending makes a difference to that."""
    if not isinstance(attempt, Prepend):
        return speakers.nvas
    peers = {peer.name: peer for server in speakers.azure.route_servers for peer in server.peers}
    own = (peers[attempt.nva].asn,) * attempt.times
    longer = {p: replace(a, as_path=(*own, *a.as_path)) for p, a in speakers.nvas[attempt.nva].items()}
    return {**speakers.nvas, attempt.nva: longer}
