"""What `labkit whatif` says is what the rules say of the changed model; and a change and its reverse are no change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given, reject
from hypothesis import strategies as st

from labkit.azure.model import Azure, HubRoutingPreference, NextHopType, UserRoute
from labkit.azure.rules.effective import effective_routes
from labkit.daemons.speaker import Advertisements
from labkit.errors import InvalidInput
from labkit.predict.whatif.changes import (
    FLAGS,
    BranchToBranch,
    Change,
    PeeringFlag,
    Preference,
    Prepend,
    Propagation,
    Route,
)
from labkit.predict.whatif.model import predict
from labkit.predict.whatif.routes import nic_changes
from tests.unit.azure.speakers import AzureSpeakers
from tests.unit.azure.test_gateway_properties import POOL, azure_speakers


@st.composite
def changes_of(draw: st.DrawFn, azure: Azure) -> Change:
    prefix = draw(st.sampled_from(POOL))
    hop = draw(st.sampled_from(azure.nics)).address
    ends = draw(st.sampled_from(azure.peerings))
    on = draw(st.booleans())
    found: list[Change] = [
        Route("t", prefix, UserRoute(prefix, NextHopType.VIRTUAL_APPLIANCE, hop)),
        Route("t", prefix, UserRoute(prefix, draw(st.sampled_from((NextHopType.NONE, NextHopType.INTERNET))))),
        Propagation("t", on),
        PeeringFlag(ends.local, ends.remote, draw(st.sampled_from(list(FLAGS))), on),
    ]
    for server in azure.route_servers:
        found += [
            BranchToBranch(server.name, on),
            Preference(server.name, draw(st.sampled_from(HubRoutingPreference))),
            *(Prepend(peer.name, draw(st.integers(1, 4))) for peer in server.peers),
        ]
    return draw(st.sampled_from(found))


def reverse(change: Change, azure: Azure) -> Change:
    """What undoes a change of this model."""
    match change:
        case BranchToBranch():
            return replace(change, on=azure.route_server[change.server].branch_to_branch)
        case Preference():
            return replace(change, value=azure.route_server[change.server].hub_routing_preference)
        case Prepend():
            return replace(change, times=-change.times)
        case Route():
            routes = azure.route_table[change.table].routes
            return replace(change, route=next((r for r in routes if r.prefix == change.prefix), None))
        case Propagation():
            return replace(change, on=not azure.route_table[change.table].disable_bgp_route_propagation)
        case PeeringFlag():
            ends = (change.local, change.remote)
            peering = next(p for p in azure.peerings if (p.local, p.remote) == ends)
            return replace(change, on=bool(getattr(peering, FLAGS[change.flag])))
    raise AssertionError(change)


@given(azure_speakers(), st.data())
def test_a_change_and_its_reverse_are_no_change(speakers: AzureSpeakers, data: st.DataObject) -> None:
    change = data.draw(changes_of(speakers.azure))
    prediction = predict(speakers.azure, speakers.adj_ribs_in, [change, reverse(change, speakers.azure)])
    assert nic_changes(prediction) == ()
    assert prediction.after.speakers.at_server == speakers.at_server
    assert prediction.after.speakers.at_gateway == speakers.at_gateway
    assert prediction.warnings == ()


@given(azure_speakers(), st.data())
def test_after_is_what_the_rules_say_of_the_changed_model(speakers: AzureSpeakers, data: st.DataObject) -> None:
    change = data.draw(changes_of(speakers.azure))
    try:
        prediction = predict(speakers.azure, speakers.adj_ribs_in, [change])
    except InvalidInput:
        reject()
    changed, _ = change.apply(speakers.azure, speakers.adj_ribs_in)
    anew = AzureSpeakers(changed, announced(speakers, change), speakers.customers, speakers.sites, speakers.edges)
    for nic in speakers.azure.nic:
        rows = effective_routes(changed, nic, anew.learned, anew.gateway_routes)
        assert prediction.after.rows[nic] == rows
        before = effective_routes(speakers.azure, nic, speakers.learned, speakers.gateway_routes)
        told = any(nic in each.nics for each in nic_changes(prediction))
        assert told is (set(before) != set(rows)), "whoever changes is told of, and nobody else"


def announced(speakers: AzureSpeakers, change: Change) -> Mapping[str, Advertisements]:
    """What the NVAs announce after a change: only prepending makes a difference to that."""
    if not isinstance(change, Prepend):
        return speakers.nvas
    peers = {peer.name: peer for server in speakers.azure.route_servers for peer in server.peers}
    own = (peers[change.peer].asn,) * change.times
    longer = {p: replace(a, as_path=(*own, *a.as_path)) for p, a in speakers.nvas[change.peer].items()}
    return {**speakers.nvas, change.peer: longer}
