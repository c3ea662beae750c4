"""Configurations as statements, and what was changed in them by hand."""

from __future__ import annotations

from labkit.daemons.statements import as_text, difference, from_text, statements, updated

FRR = """Current configuration:
!
frr version 10.3
!
router bgp 65001
 neighbor 10.1.0.4 remote-as 65515
 !
 address-family ipv4 unicast
  network 10.9.0.0/16
 exit-address-family
exit
!
end
"""
BIRD = """# a comment
protocol kernel {
  merge paths on;
  ipv4 {
    export all;
  };
}
"""
FAMILY = ("router bgp 65001", "address-family ipv4 unicast")


def test_a_statement_has_what_it_is_indented_under() -> None:
    assert statements(FRR) == [
        ("frr version 10.3",),
        ("router bgp 65001",),
        ("router bgp 65001", "neighbor 10.1.0.4 remote-as 65515"),
        FAMILY,
        (*FAMILY, "network 10.9.0.0/16"),
    ]
    assert statements(BIRD)[-1] == ("protocol kernel {", "ipv4 {", "export all;")


def test_what_was_added_and_removed() -> None:
    now = FRR.replace("  network 10.9.0.0/16", "  network 10.7.0.0/16").replace(
        "end", "route-map x permit 10\n on-match next"
    )
    assert difference(statements(FRR), statements(now)) == (
        [(*FAMILY, "network 10.7.0.0/16"), ("route-map x permit 10", "on-match next")],
        [(*FAMILY, "network 10.9.0.0/16")],
    )
    assert difference(statements(BIRD), statements(BIRD)) == ([], [])


def test_what_labkit_changes_is_known_and_what_was_changed_by_hand_stays_so() -> None:
    by_hand = FRR.replace("  network 10.9.0.0/16", "  network 10.9.0.0/16\n  network 10.7.0.0/16")
    after = by_hand.replace("network 10.9.0.0/16", "network 10.8.0.0/16")
    known = updated(from_text(as_text(statements(FRR))), statements(by_hand), statements(after))
    assert difference(known, statements(after)) == ([(*FAMILY, "network 10.7.0.0/16")], [])
