"""BIRD in appliances: booted, with tables, kernels and prediction in agreement; broken, and changed while it runs."""

from __future__ import annotations

from functools import partial
from ipaddress import IPv4Network

import pytest

from labkit.daemons.protocol import Command
from labkit.daemons.registry import DAEMONS
from labkit.operate.diff.run import differences
from labkit.operate.look.live_state import LiveState
from labkit.operate.trace.run import trace
from labkit.predict.customer_routers import routers
from labkit.pytest import Boot, RunningLab
from tests.e2e.in_lab import configure, gateways, kernel, kill_service, lab_file, off, problems, run
from tests.e2e.waiting import eventually
from tests.verbs import in_process

DEFAULT, BRANCH = IPv4Network("0.0.0.0/0"), IPv4Network("10.250.0.0/16")
CONTROL = DAEMONS["bird"].control


@pytest.fixture(scope="module")
def lab(labkit_lab: Boot) -> RunningLab:
    return labkit_lab(lab_file("bird"))


def become_right(lab: RunningLab) -> None:
    """Wait until every proof, table and kernel is as predicted."""
    eventually(partial(problems, lab), lambda found: found == [])


def states(lab: RunningLab, node: str) -> set[str]:
    """The states of a router's sessions; none while BGP does not run."""
    live = LiveState(lab.lab, lab.client)
    return set(live.bgp(node).states.values()) if live.has_bgp(node) else set()


def control(lab: RunningLab, node: str, command: Command) -> None:
    """Have a node's daemon carry out a command."""
    run(lab, node, *command)


@pytest.mark.parametrize(("interface", "lost"), [("eth0", DEFAULT), ("eth1", BRANCH)], ids=["eth0", "eth1"])
def test_a_link_that_flaps_leaves_an_appliance_with_its_routes(
    lab: RunningLab, interface: str, lost: IPv4Network
) -> None:
    before = kernel(lab, "edge")
    assert {DEFAULT, BRANCH} < before.keys()
    for _ in range(3):
        run(lab, "edge", "ip", "link", "set", interface, "down")
        eventually(lambda: kernel(lab, "edge").get(lost), lambda now: now != before[lost])
        run(lab, "edge", "ip", "link", "set", interface, "up")
        eventually(partial(kernel, lab, "edge"), lambda now: now == before)


def test_one_that_is_killed_comes_back_with_what_it_had(lab: RunningLab) -> None:
    kill_service(lab, "firewall", "bird")
    become_right(lab)


def test_a_neighbour_that_is_off_takes_its_routes_with_it(lab: RunningLab) -> None:
    """Once its hold time is over: FRR offers to keep routes while it restarts, which BIRD would do for two minutes."""
    ways = partial(gateways, lab, "alone", BRANCH)
    assert len(ways() or ()) == 2
    with off(lab, "other"):
        eventually(ways, lambda now: now is not None and len(now) == 1)
    become_right(lab)


def test_what_it_tracks_decides_what_it_originates(lab: RunningLab) -> None:
    firewall = (lab.lab.azure.primary_nic("firewall").address,)
    default = partial(gateways, lab, "vm1", DEFAULT)
    assert default() == firewall
    with off(lab, "internet"):
        eventually(default, lambda now: now != firewall)
        # A restart reads the configuration again, and does not advertise what is withdrawn.
        kill_service(lab, "firewall", "bird")
        eventually(partial(states, lab, "firewall"), lambda now: now == {"Established"})
        assert default() != firewall
    become_right(lab)


def test_commands_change_it(lab: RunningLab) -> None:
    added = IPv4Network("10.99.0.0/16")
    neighbours = [s.neighbour.address for s in routers(lab.lab, lab.lab.azure)["far"].sessions]
    control(lab, "far", CONTROL.advertise(65002, [added]))
    eventually(lambda: kernel(lab, "vm2").keys(), lambda there: added in there)
    control(lab, "far", CONTROL.withdraw(65002, [added]))
    eventually(lambda: kernel(lab, "vm2").keys(), lambda there: added not in there)
    control(lab, "far", CONTROL.shut_down(65002, neighbours))
    eventually(partial(states, lab, "far"), lambda now: now == {"Idle"})
    control(lab, "far", CONTROL.start(65002, neighbours))
    become_right(lab)
    control(lab, "far", CONTROL.refresh())
    control(lab, "far", CONTROL.refresh(neighbours[0]))
    become_right(lab)


def test_verify_looks_at_its_kernel(lab: RunningLab) -> None:
    title, hint = "kernel of edge agrees with its BGP and static routes", "Look: labkit routes edge"

    def lost() -> list[str]:
        """What verify finds without a route, which BIRD restores when it next scans the kernel's table."""
        lab.client.run("edge", "ip", "route", "delete", str(BRANCH))
        return problems(lab, 0)

    missing = f"{title}: {BRANCH} is used by BGP and missing from the kernel of edge. {hint}"
    eventually(lost, lambda found: missing in found)
    become_right(lab)

    def added() -> list[str]:
        """What verify finds with a route of BIRD's that BIRD has not made, and takes away at that time."""
        lab.client.run("edge", "ip", "route", "replace", "192.0.2.0/24", "via", "10.1.1.1", "proto", "bird")
        return problems(lab, 0)

    stale = f"{title}: 192.0.2.0/24 is BGP's no longer, and still in the kernel of edge. {hint}"
    eventually(added, lambda found: stale in found)
    lab.client.run("edge", "ip", "route", "delete", "192.0.2.0/24")
    become_right(lab)


def test_diff_and_changes_name_what_was_changed_by_hand(lab: RunningLab) -> None:
    def found() -> set[tuple[str, str, str]]:
        return {(each.where, each.model, each.there) for each in differences(lab.lab, lab.client)}

    edge, other = ("configuration of edge, changed by hand", "configuration of other, changed by hand")
    network = "router bgp 65003 > address-family ipv4 unicast > neighbor 10.1.0.4 weight 5"
    wrong = {
        (edge, "-", "protocol bgp 'branch:100.64.0.2' > disabled;"),
        (edge, "protocol kernel > merge paths on;", "-"),
        (edge, "-", "protocol kernel > merge paths off;"),
        (other, "-", network),
    }
    weight = ("router bgp 65003", "address-family ipv4 unicast", "neighbor 10.1.0.4 weight 5")
    configure(lab, "other", *weight)
    run(lab, "edge", "sed", "-i", "s/merge paths on/merge paths off/", "/etc/bird/bird.conf")
    run(lab, "edge", "birdc", "configure")
    run(lab, "edge", "birdc", "disable", '"branch:*"')
    eventually(found, lambda now: now == wrong)
    # What labkit changes itself is not by hand, and what is by hand stays it.
    for verb in ("advertise", "withdraw"):
        for nva in ("other", "far"):
            status, _, messages = in_process(("nva", verb, nva, "10.98.0.0/16", "--lab", lab.lab.name))
            assert status == 0, messages
        eventually(found, lambda now: now == wrong)
    status, output, _ = in_process(("changes", lab.lab.name))
    assert (status, "merge paths off" in output, network in output) == (0, True, True)
    configure(lab, "other", *weight[:2], f"no {weight[2]}")
    run(lab, "edge", "sed", "-i", "s/merge paths off/merge paths on/", "/etc/bird/bird.conf")
    run(lab, "edge", "birdc", "configure")
    run(lab, "edge", "birdc", "enable", '"branch:*"')
    become_right(lab)
    eventually(found, lambda now: now == set())


def test_trace_names_the_path_that_it_chose(lab: RunningLab) -> None:
    line = next(each for each in trace(lab.lab, lab.client, "edge", "branch").steps if each.place == "edge")
    assert line.choice is not None
    assert line.choice.table == "kernel of edge, from its BGP table"
    assert [(each.sender, each.because) for each in line.choice.paths] == [
        ("branch", ""),
        ("far", "its AS path is longer"),
    ]
