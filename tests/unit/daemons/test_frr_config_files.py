"""frr.conf by daemon."""

from __future__ import annotations

from labkit.daemons.frr.config_files import config_files, mistakes

CONF = """\
frr defaults traditional
service integrated-vtysh-config
ip route 10.0.0.0/8 10.1.1.1
! a comment
route-map from-lan permit 10
 set src 10.250.0.1
exit
!
route-map out permit 10
 set community 65001:1
exit
ip protocol bgp route-map from-lan
ip prefix-list own seq 5 permit 10.1.0.0/16
router bgp 65001
 neighbor 10.1.0.4 remote-as 65515
 address-family ipv4 unicast
  network 10.250.0.0/16
 exit-address-family
exit
nonsense
end
"""
ERRORS = {"mgmtd": "/m.errors", "zebra": "/z.errors", "bgpd": "/b.errors"}


def lines_of(daemon: str) -> list[str]:
    part = config_files(CONF, ERRORS)[daemon]
    return [line for line in part.splitlines() if not line.startswith("!")]


def test_a_daemon_gets_its_own_lines_and_those_of_all() -> None:
    everybodys = ["log file /m.errors errors", "frr defaults traditional"]
    static, source = "ip route 10.0.0.0/8 10.1.1.1", ["route-map from-lan permit 10", " set src 10.250.0.1", "exit"]
    assert lines_of("mgmtd") == [*everybodys, static, *source, "ip protocol bgp route-map from-lan"]
    zebras_last = "no zebra nexthop kernel enable"
    assert lines_of("zebra") == ["log file /z.errors errors", "frr defaults traditional", zebras_last]


def test_bgpd_gets_what_is_nobody_elses() -> None:
    lines = lines_of("bgpd")
    assert lines[2:5] == ["route-map out permit 10", " set community 65001:1", "exit"]
    assert lines[5:7] == ["ip prefix-list own seq 5 permit 10.1.0.0/16", "router bgp 65001"]
    assert lines[-2:] == ["exit", "nonsense"]


def test_a_mistake_has_its_line_of_frr_conf() -> None:
    number = config_files(CONF, ERRORS)["bgpd"].splitlines().index("nonsense") + 1
    logged = (
        "2026/11/30 02:50:05 BGP: [X-Y][EC 1] failed to open something\n"
        f"2026/11/30 02:50:05 BGP: [X-Y][EC 2] No such command on config line {number}: nonsense\n"
    )
    assert list(mistakes(logged)) == [f"line {CONF.splitlines().index('nonsense') + 1}: No such command: nonsense"]
