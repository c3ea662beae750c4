"""The command line at work: every verb on a running lab, whatever goes wrong on the way, and nothing left behind."""

from __future__ import annotations

import itertools
import json
import os
import pty
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from labkit.cli.app import PANEL
from labkit.runtimes.image import images
from labkit.runtimes.sandbox import state
from tests.e2e import in_lab
from tests.e2e.command_line import WITHIN, Labkit, in_private_mounts
from tests.e2e.in_lab import overview_called
from tests.e2e.terminal import drained, read_until
from tests.e2e.waiting import eventually
from tests.extent import LONG
from tests.verbs import EXEC, VerbShape, in_process, verbs

Row = dict[str, Any]
SMALL = in_lab.lab_file("small")


@pytest.fixture(scope="module", autouse=True)
def _image() -> None:
    """What is measured and interrupted below is not the building of the image."""
    images.ensure(images.node_image())


@pytest.fixture(scope="module")
def lab_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return overview_called("cli", tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, lab_file: Path) -> Iterator[Labkit]:
    """A running lab called `cli` that tests look at, and leave as it is."""
    labkit = Labkit(tmp_path_factory.mktemp("state"))
    done = labkit("up", str(lab_file))
    try:
        assert done.returncode == 0, done.stderr
        yield labkit
    finally:
        labkit("down", "--all")


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Labkit]:
    """A labkit with no lab yet."""
    labkit = Labkit(tmp_path / "state")
    yield labkit
    if labkit.left():
        assert labkit("down", "--all").returncode == 0
        assert labkit.left() == []


# --- Looking


def test_up_prints_its_phases_and_what_to_try_next(lab: Labkit, lab_file: Path) -> None:
    done = lab("up", str(lab_file))
    assert done.returncode == 0
    assert done.stdout == ""
    assert "cli was already up; all checks passed." in done.stderr
    tried = [line.strip().split("  ")[0] for line in done.stderr.partition("Try:\n")[2].splitlines()]
    verbs = [
        step for step in tried if step.startswith("labkit ") and not step.startswith(("labkit down", "labkit sto"))
    ]
    assert len(verbs) >= 3
    for step in verbs:  # every line shown must be true of the running lab
        assert lab(*step.split()[1:], given="").returncode == 0, step


def test_status_and_list(lab: Labkit, lab_file: Path) -> None:
    status = lab.json("status")
    assert status["state"] == "running"
    assert {node["name"] for node in status["nodes"]} >= {"controller", "vm1", "rs1-0", "rs1-1", "sdwan-nva"}
    assert {node["state"] for node in status["nodes"]} == {"running"}
    assert [session["state"] for session in status["platform"]["sessions"]] == ["Established"] * 4
    text = lab.ok("status")
    assert re.search(r"^cli on sandbox: running, up for \d", text)
    assert re.search(r"^vm1 +running +healthy +yes$", text, re.MULTILINE)
    assert re.search(r"^rs1 +0 +sdwan-nva +Established +\d.* s +-$", text, re.MULTILINE)
    (row,) = lab.json("list")
    assert (row["lab"], row["state"], row["lab_file"]) == ("cli", "running", str(lab_file))
    assert row["nodes"] == len(status["nodes"])


def test_azures_listings(lab: Labkit) -> None:
    rows = lab.json("effective-routes", "vm1")["value"]
    assert {tuple(row["addressPrefix"]): row["nextHopIpAddress"] for row in rows if row["state"] == "Active"} == {
        ("10.1.0.0/16",): [],
        ("10.250.0.0/16",): ["10.1.1.4"],
        ("0.0.0.0/0",): ["10.1.2.4"],
    }
    head, rule, *body = lab.ok("effective-routes", "vm1").splitlines()
    assert re.split(r" {2,}", head) == ["Source", "State", "Address Prefix", "Next Hop Type", "Next Hop IP"]
    assert set(rule) == {"-", " "}
    assert len(body) == len(rows)
    assert lab.json("next-hop", "vm1", "10.250.0.10") == {
        "nextHopIpAddress": "10.1.1.4",
        "nextHopType": "VirtualNetworkGateway",
        "routeTableId": "System Route",
    }
    assert lab.ok("next-hop", "security-nva", "203.0.113.1").split()[-2:] == ["Internet", "direct-internet"]
    learned = lab.json("learned-routes", "rs1", "sdwan-nva")
    assert [row["network"] for role in learned.values() for row in role] == ["10.250.0.0/16"] * 2
    assert "SourcePeer" in lab.ok("learned-routes", "rs1", "sdwan-nva")
    advertised = lab.json("advertised-routes", "rs1", "sdwan-nva")
    assert [row["asPath"] for role in advertised.values() for row in role] == ["65515"] * 2
    assert "SourcePeer" not in lab.ok("advertised-routes", "rs1", "sdwan-nva")


def test_routes_of_kernel_and_frr(lab: Labkit) -> None:
    assert "10.250.0.0/16" in {row["dst"] for row in lab.json("routes", "vm1")}
    assert "10.250.0.0/16 " in lab.ok("routes", "vm1")
    assert "10.250.0.0/16" in lab.json("routes", "sdwan-nva", "--bgp")["routes"]
    done = lab("routes", "vm1", "--bgp")
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "vm1 does not run a BGP daemon.")


WRONG = ("", "..", "nobody", "\x1b[31m", "\udcff", *((".", "no/where", "\n", "☃", "x" * 9000) if LONG else ()))
"""Names that nothing in a lab has."""

RIGHT = {
    "NODE": "vm1", "NIC": "vm1", "SERVER": "rs1", "PEER": "sdwan-nva", "ROUTE-SERVER": "rs1", "[NAME]": "rs1",
    "TABLE": "direct-internet", "PREFIX": "10.99.0.0/16", "NEXT-HOP": "None", "VNET/SUBNET": "vnet1/workload",
    "GATEWAY": "gw", "FROM": "vm1", "TO": "vm2", "SOURCE": "vm1", "TARGET": "vm2", "VNET": "vnet1", "REMOTE": "vnet1",
    "LAB": "cli", "FILE": "overview", "COMMAND": "reset", "TIMES": "1", "NVA": "sdwan-nva",
}  # fmt: skip


def words_of(verb: VerbShape, position: int, wrong: str) -> list[str]:
    """A command line with a wrong word in the place of one argument."""
    words = [wrong if i == position else RIGHT.get(each, "true") for i, each in enumerate(verb.arguments)]
    options = ["--out", "/nonexistent/folder"] if "--out" in verb.options else []
    options += ["--ip-forwarding", "on"] if "--ip-forwarding" in verb.options else []
    options += ["--address-prefixes", "10.1.0.0/16"] if "--address-prefixes" in verb.options else []
    return [*verb.words, *options, *([] if verb.words == ("exec",) else ["--"]), *words]


def test_a_wrong_argument_is_answered_by_what_is_wrong_with_it(lab: Labkit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every argument of every verb, with nonsense in its place: exit status 2, and nothing is changed."""
    monkeypatch.setenv("XDG_STATE_HOME", str(lab.home))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{lab.home}/no.sock")
    found = []
    for verb in verbs(set(PANEL) - {"up", "image"}):
        for position, wrong in itertools.product(range(len(verb.arguments)), WRONG):
            argument = [*verb.arguments][position]
            if (verb.words[-1], argument) in {("exec", EXEC), ("create", "TABLE")} and wrong:
                continue  # a command that a node has not is the node's answer; a new table may have any name
            status, _, err = in_process(words_of(verb, position, wrong))
            if status != 2 or "does not answer" in err or "\x1b" in err:
                found.append((verb.words, argument, wrong[:20], status, err[:200]))
    assert found == []
    assert lab.json("changes") == []


def test_trace_to_nobody(lab: Labkit) -> None:
    for target in ("10.1.10.99", "10.250.255.255"):
        found = lab("trace", "vm1", target)
        assert f"no answer from:   {target}, which is nobody's address in this lab" in found.stdout
        assert found.returncode == 0, found.stdout
    assert lab.json("trace", "vm1", "10.1.10.99")["nobodys"]
    assert not lab.json("trace", "vm1", "vm2")["nobodys"]
    for target in ("127.0.0.1", "224.0.0.5", "0.0.0.0", "255.255.255.255"):
        done = lab("trace", "vm1", target)
        assert (done.returncode, done.stderr.startswith(f"{target} is ")) == (2, True), done.stderr


def test_the_lab_is_named_alike_everywhere(lab: Labkit, lab_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That every verb reads its command line so is tested without a lab."""
    monkeypatch.setenv("XDG_STATE_HOME", str(lab.home))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{lab.home}/no.sock")
    for names in (["cli"], [str(lab_file)], ["--lab", "cli"], ["-l", str(lab_file)], ["cli", "--lab", "cli"], []):
        assert in_process(["changes", *names])[0] == 0, names
    for names in (["misspelt"], ["--lab", "misspelt"], ["cli", "--lab", "misspelt"], ["overview"]):
        for verb in ("status", "verify", "diff", "changes", "events", "reset", "down"):
            status, _, err = in_process([verb, *names])
            assert status == (0 if (verb, names) == ("down", ["overview"]) else 2), (verb, names, err)
    for words in (["status", "cli"], ["diff", "cli"], ["effective-routes", "vm1", "--lab", str(lab_file)]):
        assert in_process(words)[0] == 0, words
    done = lab("down", "misspelt")
    assert (done.returncode, done.stderr) == (
        2,
        "no lab called misspelt runs here, and there is no such lab file.\n    Running: cli.\n",
    )
    assert "Did you mean `labkit down cli`?" in lab("down", "clii").stderr


def test_route_servers_are_listed(lab: Labkit) -> None:
    (server,) = lab.json("route-server", "list")
    assert (server["name"], server["provisioningState"]) == ("rs1", "Succeeded")
    assert lab.json("route-server", "show") == [server]
    assert lab.json("route-server", "show", "rs1") == server
    peers = lab.json("route-server", "peering", "list", "rs1")
    assert {peer["provisioningState"] for peer in peers} == {"Succeeded"}
    assert "ProvisioningState" in lab.ok("route-server", "peering", "list", "rs1")


def test_a_closed_standard_input_is_no_error(lab: Labkit) -> None:
    for words in ("exec vm1 true", "shell vm1 --bgp", "routes vm1", "trace vm1 vm2", "verify", "status"):
        done = lab.run(["sh", "-c", f"{' '.join(lab.argv(*words.split()))} <&-"])
        wrong = words.startswith("shell")  # vm1 has no BGP daemon
        assert done.returncode == (2 if wrong else 0), (words, done.stderr)
    done = lab.run(["sh", "-c", f"{' '.join(lab.argv('exec', 'vm1', 'cat'))} <&- | wc -c"])
    assert (done.stdout.strip(), done.stderr) == ("0", "")
    done = lab.run(["sh", "-c", f"{' '.join(lab.argv('apply', '-'))} <&-"])
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "standard input: the file is empty.")


def test_traps_are_warned_of_while_the_lab_runs(lab: Labkit) -> None:
    prefix = "192.0.2.0/24"
    try:
        done = lab("route-table", "add", "direct-internet", prefix, "10.1.10.99")
        assert done.returncode == 0
        assert (
            f" warning: the next hop 10.1.10.99 of route {prefix} of route table direct-internet forwards nothing: "
            "no NIC has it.\n    Packets by it are lost: give the name or the address of an appliance.\n"
        ) in done.stderr
        done = lab("route-table", "add", "direct-internet", prefix, "None")
        assert (done.returncode, "(RouteConflict)" in done.stderr) == (2, True)
        done = lab(*f"route-table add direct-internet {prefix} None --replace".split())
        assert (done.returncode, done.stderr) == (0, f" direct-internet: route {prefix} 10.1.10.99 → None\n")
        assert [change["nextHopType"] for change in lab.json("changes")] == ["None"]
    finally:
        lab.ok("route-table", "remove", "direct-internet", prefix)
    for words, text in (
        ("nic update sdwan-nva --ip-forwarding off", "IP forwarding is off on sdwan-nva's NIC, and route server rs1"),
        (f"route-table add direct-internet {prefix} vm2", "IP forwarding is off on vm2's NIC"),
        ("route-server peering create rs1 sdwan-nva --peer-asn 65009", "configures no router with AS 65009"),
    ):
        assert text in lab.ok("whatif", *words.split())
    done = lab("route-server", "peering", "create", "rs1", "x", "--peer-asn", "65009", "--peer-ip", "10.1.0.5")
    assert (done.returncode, "it is an instance of route server rs1" in done.stderr) == (2, True), done.stderr


def test_trace_and_verify(lab: Labkit, lab_file: Path) -> None:
    assert lab.json("trace", "vm1", "branch")["agrees"]
    assert "✓ agrees" in lab.ok("trace", "vm1", "branch")
    for name in ([], ["cli"], [str(lab_file)]):
        rows = lab.json("verify", *name)
        assert all(row["ok"] for row in rows)
    text = lab("verify")
    *each, result = text.stdout.splitlines()
    assert "".join(each).count("✓") == len(rows)
    assert re.fullmatch(rf"cli: all {len(rows)} checks passed \(\d.* s\)\.", result), "`labkit verify | tail -1`"
    assert text.stderr == ""


def test_verify_prints_what_is_wrong(lab: Labkit) -> None:
    """A wrong next hop in a VM's kernel."""
    wrong = ["ip", "route", "add", "203.0.113.0/24", "via", "10.1.10.1", "proto", "65"]
    lab.ok("exec", "vm1", "--", *wrong)
    try:
        done = lab("verify", "--within", "0")
        assert done.returncode == 1
        assert re.search(r"^ ✗ .*vm1.*\n     .*203\.0\.113\.0/24", done.stdout, re.MULTILINE), done.stdout
        assert re.match(r"cli: \d+ of \d+ checks failed", done.stdout.splitlines()[-1])
        assert any(row["problem"] for row in json.loads(lab("verify", "--within", "0", "-o", "json").stdout))
    finally:
        lab.ok("exec", "vm1", "--", "ip", "route", "del", *wrong[3:])
    assert lab("verify").returncode == 0


def test_events_come_while_they_happen(lab: Labkit) -> None:
    """Through a pipe, so nothing may lie in a buffer."""
    following = lab.start("events", "--follow")
    try:
        assert following.stdout
        assert read_until(following.stdout.fileno(), b"session sdwan-nva up")
        lab.ok("route-table", "add", "direct-internet", "192.0.2.0/24", "Internet")
        assert b"192.0.2.0/24" in read_until(following.stdout.fileno(), b"192.0.2.0/24")
        lab.ok("route-table", "remove", "direct-internet", "192.0.2.0/24")
    finally:
        following.send_signal(signal.SIGINT)
        _, said = following.communicate(timeout=WITHIN)
    assert (following.returncode, said) == (130, "interrupted.\n")
    rows = [json.loads(line) for line in lab.ok("events", "--format", "json").splitlines()]
    assert any("192.0.2.0/24" in row["text"] for row in rows)


def test_logs(lab: Labkit) -> None:
    assert "agent: " in lab.ok("logs", "vm1")
    assert "routeserver: session with 10.1.1.4: Established" in lab.ok("logs", "rs1-0").splitlines()
    done = lab("logs", "../../lab")
    assert (done.returncode, done.stdout) == (2, "")


def test_stop_and_start(lab: Labkit) -> None:
    assert "labkit start branch-host" in lab("stop", "branch-host").stderr
    try:
        assert {n["name"]: n["state"] for n in lab.json("status")["nodes"]}["branch-host"] == "stopped"
        done = lab("exec", "branch-host", "true")
        assert (done.returncode, done.stderr.splitlines()[0]) == (
            2,
            "node branch-host is stopped, so nothing can run in it.",
        )
        assert lab("stop", "branch-host").returncode == 0, "it is off, so this is no event"
    finally:
        assert lab("start", "branch-host").returncode == 0
    assert lab("verify", "--within", "60").returncode == 0
    said = [json.loads(line) for line in lab.ok("events", "--format", "json").splitlines()]
    assert [(e["node"], e["text"]) for e in said if e["kind"] == "power"] == [
        ("branch-host", "power off, by the operator"),
        ("branch-host", "power on, by the operator"),
    ]


# --- In the nodes


def test_exec_passes_everything_through(lab: Labkit) -> None:
    assert lab("exec", "vm1", "--", "sh", "-c", "exit 7").returncode == 7
    assert lab("exec", "vm1", "--", "sh", "-c", "kill -9 $$").returncode == 137
    assert lab("exec", "vm1", "/no/such/program").returncode == 127
    # A name in no encoding: the shell's word for it, no traceback.
    odd = lab("exec", "vm1", "no-such-\udcff")
    assert (odd.returncode, odd.stderr) == (127, "labkit: no-such-\udcff: No such file or directory\n")
    done = lab("exec", "vm1", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    assert lab.ok("exec", "vm1", "--", "echo", "--lab", "-l", "x") == "--lab -l x\n"


def test_exec_is_clean_for_binary_data_both_ways(lab: Labkit) -> None:
    data = random.Random(1).randbytes(1 << 21)
    done = subprocess.run(
        lab.argv("exec", "vm1", "cat"), input=data, env=lab.variables, capture_output=True, check=False, timeout=WITHIN
    )
    assert done.returncode == 0
    assert done.stdout == data


def test_a_script_for_a_shell(lab: Labkit) -> None:
    done = lab("shell", "vm1", given="hostname\nexit 9\n")
    assert (done.returncode, done.stdout, done.stderr) == (9, "vm1\n", "")


def test_a_script_for_the_shell_of_a_bgp_daemon(lab: Labkit) -> None:
    done = lab("shell", "sdwan-nva", "--bgp", given="show bgp summary\n")
    assert (done.returncode, "local AS number 65001" in done.stdout) == (0, True), done
    refused = lab("shell", "vm1", "--bgp")
    assert (refused.returncode, refused.stderr.splitlines()[0]) == (2, "vm1 does not run a BGP daemon.")


def test_an_interactive_shell(lab: Labkit) -> None:
    """A terminal of the node's own: a prompt, job control, Ctrl-C for what runs in it, and the exit status."""
    master, slave = pty.openpty()
    shell = subprocess.Popen(
        lab.argv("shell", "vm1"), env=lab.variables | {"TERM": "xterm"}, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    try:
        assert b"vm1" in read_until(master, b"# ")

        def type_in(line: str, until: bytes) -> bytes:
            os.write(master, line.encode())
            return read_until(master, until)

        assert type_in("tty\n", b"/dev/pts/")
        type_in("stty -echo; echo quie''t\n", b"quiet")
        type_in("sleep 1000 & jobs; echo job''s\n", b"Running")
        for keys, answer in (("\x1a", b"Stopped"), ("\x03", b"")):  # Ctrl-Z stops the job, Ctrl-C ends it
            type_in("fg\n", b"sleep 1000")
            in_front(lab, "sleep 1000")
            type_in(keys, answer)
        type_in("echo after $?\n", b"after 130")
        os.write(master, b"exit 5\n")
        eventually(lambda: drained(master, shell), lambda ended: ended == 5)
    finally:
        shell.kill()
        shell.wait()
        os.close(master)


def in_front(lab: Labkit, command: str) -> None:
    """Wait until the shell has given its terminal to the command: it prints its name before that."""
    ps = lab.argv("exec", "vm1", "--", "ps", "-e", "-o", "stat=,args=")
    eventually(
        lambda: lab.run(ps).stdout, lambda text: re.search(rf"^\S*\+\S* +{command}$", text, re.MULTILINE) is not None
    )


# --- What is wrong is printed, with a remedy


@pytest.mark.parametrize(
    ("arguments", "says", "mends"),
    [
        ("exec vm9 true", "lab cli has no node 'vm9'.", "Its nodes are: "),
        ("shell vm9", "lab cli has no node 'vm9'.", "Its nodes are: "),
        ("routes vm9", "lab cli has no node 'vm9'.", "Its nodes are: "),
        ("stop vm9", "lab cli has no node 'vm9'.", "Its nodes are: "),
        ("logs vm9", "there is no log of a node 'vm9'.", "Nodes with logs: "),
        ("effective-routes branch", "there is no NIC branch.", "These are: "),
        ("next-hop branch 10.1.0.1", "there is no NIC branch.", "These are: "),
        ("next-hop vm1 there", "there is not an IPv4 address.", "Write one such as 10.1.1.4."),
        ("learned-routes rs9 sdwan-nva", "there is no route server rs9.", "These are: rs1."),
        ("learned-routes rs1 vm1", "route server rs1 has no peer vm1.", "Its peers are: "),
        ("advertised-routes rs1 %ff", "route server rs1 has no peer %ff.", "Its peers are: "),
        ("trace vm9 vm1", "vm9 is not a node with an address.", "These are: "),
        ("route-table add none 0.0.0.0/0 None", "there is no route table none.", "The lab's route tables: "),
        ("status --lab other", "no lab called other runs here.", "Running: cli."),
        ("down other", "no lab called other runs here, and there is no such lab file.", "Running: cli."),
    ],
)
def test_no_such_thing(lab: Labkit, arguments: str, says: str, mends: str) -> None:
    done = lab(*arguments.split())
    first, *rest = done.stderr.splitlines()
    assert first == says
    assert (done.returncode, done.stdout) == (2, "")
    assert [line.strip()[: len(mends)] for line in rest] == [mends]


def test_a_name_in_use(lab: Labkit, lab_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.lab.yml"
    other.write_text(lab_file.read_text() + "# another lab\n")
    for verb in ("up", "verify"):
        done = lab(verb, str(other))
        assert done.returncode == 2
        assert done.stderr == (
            f"another lab called cli runs already, from {lab_file}.\n    Take it down first: labkit down cli\n"
        )
    before = lab_file.read_text()
    # Line ends make no difference, neither that of Windows nor none.
    other.write_bytes(before.replace("\n", "\r\n").encode())
    lab.ok("verify", str(other))
    lab_file.write_text(before + "# changed\n")
    try:
        assert f"lab cli runs already, and {lab_file} has changed since it started." in lab("up", str(lab_file)).stderr
    finally:
        lab_file.write_text(before)
    assert "on the sandbox runtime" in lab("up", str(lab_file), "--runtime", "containerlab").stderr
    assert lab.json("list")[0]["state"] == "running"


def test_two_at_once(empty: Labkit, lab_file: Path) -> None:
    first = empty.start("up", str(lab_file))
    try:
        eventually(empty.left, lambda left: {"cli", "cli.lock"} <= set(left))
        first.send_signal(signal.SIGSTOP)  # else it might be done before the others have begun
        for arguments in (["down", "cli"], ["up", str(lab_file)]):
            done = empty(*arguments)
            message = done.stderr.partition("\n")[0]
            assert (done.returncode, message) == (2, "another labkit is starting lab cli or taking it down.")
    finally:
        first.send_signal(signal.SIGCONT)
        _, said = first.communicate(timeout=WITHIN)
    assert first.returncode == 0, said


def test_a_broken_lab_file_creates_nothing(empty: Labkit, tmp_path: Path) -> None:
    file = tmp_path / "broken.lab.yml"
    file.write_text("name: broken\nvirtual_networks:\n  vnet1: {address_space: 10.1.0.0/33}\n")
    done = empty("up", str(file))
    assert done.returncode == 2
    assert done.stderr.startswith(f"{file}:3: ")
    assert done.stderr.endswith("1 error. Nothing was created.\n")
    assert not empty.home.exists()
    report = empty("validate", str(file), "--format", "json")
    assert (report.returncode, json.loads(report.stdout)["problems"][0]["line"]) == (2, 3)


def test_warnings_are_shown_before_anything_is_started(empty: Labkit, lab_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "small.lab.yml"
    file.write_text(lab_file.read_text().replace("RouteServerSubnet: 10.1.0.0/26", "RouteServerSubnet: 10.1.0.0/27"))
    for arguments in (["up", "--dry-run", str(file)], ["validate", str(file)]):
        done = empty(*arguments)
        assert done.returncode == 0
        assert re.match(rf"{file}:\d+: warning: ", done.stderr)
    assert not empty.home.exists()


def test_a_dry_run_prints_the_plan(empty: Labkit, lab_file: Path) -> None:
    text = empty.ok("up", str(lab_file), "--dry-run")
    assert re.search(r"^sdwan-nva +nva +.*bgpd +10\.1\.1\.4", text, re.MULTILINE)
    assert re.search(r"^vnet1:vm1 +vm1:eth0$", text, re.MULTILINE)
    assert not empty.home.exists()


def test_a_controller_that_is_gone(lab: Labkit) -> None:
    service = "/run/labkit-services/controller"
    lab.ok("exec", "controller", "s6-svc", "-wd", "-d", service)
    try:
        done = lab("status")
        assert done.returncode == 1
        assert re.search(r"^vm1 +running +healthy +\?$", done.stdout, re.MULTILINE)
        assert "the controller of lab cli does not answer." in done.stderr
        assert "labkit logs controller --lab cli" in done.stderr
        for verb in (["effective-routes", "vm1"], ["events"], ["events", "-f"], ["route-table", "show"]):
            done = lab(*verb)
            assert (done.returncode, done.stdout) == (1, "")
            assert "does not answer" in done.stderr
        assert lab("exec", "vm1", "ping", "-c1", "-W5", "10.250.0.10").returncode == 0  # the lab lives on
    finally:
        lab.ok("exec", "controller", "s6-svc", "-u", service)
    eventually(lambda: lab("status").returncode, lambda status: status == 0)
    lab.ok("stop", "controller")
    try:
        assert "node controller is stopped" in lab("status").stderr
    finally:
        lab("start", "controller")
    assert lab("verify", "--within", "60").returncode == 0


# --- Killed, interrupted, refused


@pytest.fixture(scope="module")
def duration(tmp_path_factory: pytest.TempPathFactory) -> float:
    """The seconds that an `up` of the small lab takes here and now."""
    labkit = Labkit(tmp_path_factory.mktemp("measured"))
    began = time.monotonic()
    labkit.ok("up", str(SMALL))
    took = time.monotonic() - began
    labkit.ok("down", "small")
    return took


GRACE = 20
"""Seconds in which everything that an `up` has started is gone after its end."""


def interrupted(labkit: Labkit, number: str, seconds: float) -> Row:
    """An `up` of the small lab that gets a signal after so many seconds."""
    helper = [sys.executable, "-m", "tests.e2e.undertaker", number, f"{seconds:.3f}", str(GRACE), "--"]
    done = labkit.run([*helper, *labkit.argv("up", str(SMALL))])
    assert done.returncode == 0, done.stderr
    found: Row = json.loads(done.stdout)
    return found


INTERRUPTIONS = 9 if LONG else 6


def test_an_interrupted_up_leaves_nothing(empty: Labkit, duration: float) -> None:
    """At moments spread over all of it; the seed is the test's, the moments are the machine's."""
    dice = random.Random(7)
    for turn in range(INTERRUPTIONS):
        seconds = (turn + dice.random()) / INTERRUPTIONS * duration * 0.95
        number = ("SIGINT", "SIGTERM", "SIGHUP")[turn % 3]
        found = interrupted(empty, number, seconds)
        where = f"{number} after {seconds:.2f} of {duration:.2f} s: {found}"
        if found["status"] == 0:  # it was done before
            empty.ok("down", "small")
            continue
        # Before it can handle signals, Python itself ends by them.
        early = " prepare" not in found["said"]
        assert found["status"] == 130 or (early and found["status"] == -signal.Signals[number]), where
        assert found["survivors"] == [], where
        assert early or "Traceback" not in found["said"], where
        assert empty.left() == [], where
    assert empty("up", str(SMALL)).returncode == 0


KILLS = 4 if LONG else 3


def test_a_killed_up_is_cleared_away(empty: Labkit, duration: float) -> None:
    """`kill -9` leaves no process of a lab that was not up yet; what it leaves on the disk, `down` and `up` clear."""
    dice = random.Random(11)
    for turn in range(KILLS):
        seconds = (turn + dice.random()) / KILLS * duration * 0.95
        found = interrupted(empty, "SIGKILL", seconds)
        where = f"after {seconds:.2f} of {duration:.2f} s: {found}"
        labs = eventually(lambda: empty.json("list"), lambda labs: all(lab["state"] != "deploying" for lab in labs))
        states = [lab["state"] for lab in labs]
        assert states in ([], ["dead"], ["running"]), where
        assert states == ["running"] or found["survivors"] == [], where
        if turn % 2:
            assert empty("up", str(SMALL)).returncode == 0, where
        assert empty("down", str(SMALL)).returncode == 0, where
        assert empty.left() == [], where


def test_a_lab_whose_processes_were_killed(empty: Labkit) -> None:
    empty.ok("up", str(SMALL))
    directory = empty.home / "labkit" / "labs" / "small" / "sandbox"
    identity = state.read(directory)
    assert identity
    os.kill(identity.pid, signal.SIGKILL)
    eventually(lambda: empty.json("list")[0]["state"], lambda found: found == "dead")
    for arguments in (["status"], ["exec", "vm1", "true"], ["verify"], ["events"]):
        done = empty(*arguments)
        assert done.returncode == 1
        first, second = done.stderr.splitlines()
        assert first == "lab small is dead: its processes were killed, or the machine was restarted."
        assert second.startswith("    Remove it: labkit down small")
    assert "agent: " in empty.ok("logs", "vm1")  # what it printed last
    again = empty("up", str(SMALL))
    assert again.returncode == 0
    assert "small was dead and has been removed." in again.stderr
    lab_file_gone = Path(empty.json("list")[0]["lab_file"])
    assert lab_file_gone == SMALL
    assert empty("down", "small").returncode == 0
    assert empty("down", str(SMALL)).returncode == 0  # nothing to do
    assert empty("down", "small").returncode == 2


def test_down_needs_no_lab_file_and_no_sound_record(empty: Labkit, tmp_path: Path) -> None:
    copy = tmp_path / "copy.lab.yml"
    shutil.copy(SMALL, copy)
    empty.ok("up", str(copy))
    copy.unlink()
    record = empty.home / "labkit" / "labs" / "small" / "lab.json"
    record.write_text("{")
    assert empty.json("list")[0]["state"] == "damaged"
    for arguments in (["status"], ["up", str(SMALL)]):
        done = empty(*arguments)
        assert (done.returncode, "the record of lab small is damaged" in done.stderr) == (1, True)
    identity = state.read(record.parent / "sandbox")
    assert identity
    assert empty("down", "small").returncode == 0
    eventually(lambda: state.identify(identity.pid), lambda found: found != identity)
    assert empty.left() == []


@pytest.mark.parametrize(
    ("size", "says"),
    [
        ("size=1m", r"not enough disk space for a lab's state: \S+ has 1 MB free, 20 MB are needed\."),
        ("nr_inodes=8", r"not enough room for a lab's state: \S+ has \d inodes free, 96 are needed\."),
        ("nr_inodes=3", r"\S+: No space left on device\."),
    ],
)
def test_a_full_disk_for_the_labs_state(empty: Labkit, lab_file: Path, size: str, says: str) -> None:
    done = in_private_mounts(empty, f"mount -t tmpfs -o {size} tmpfs {empty.home}", "up", str(lab_file))
    assert done.returncode == 3, done.stderr
    assert done.stdout == ""
    *_, message, remedy = done.stderr.splitlines()
    assert re.fullmatch(says, message), done.stderr
    assert "XDG_STATE_HOME" in remedy


def test_a_full_disk_for_the_image(empty: Labkit, lab_file: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    empty.environment = {"XDG_CACHE_HOME": str(cache)}
    done = in_private_mounts(empty, f"mount -t tmpfs -o size=50m tmpfs {cache}", "up", str(lab_file))
    assert (done.returncode, done.stdout) == (3, "")
    message, remedy = done.stderr.splitlines()
    assert message.startswith("Not enough disk space for the node image: ")
    assert "XDG_CACHE_HOME" in remedy


def test_no_mirror(empty: Labkit, lab_file: Path, tmp_path: Path, closed_port: int) -> None:
    mirror = f"http://127.0.0.1:{closed_port}/debian"
    empty.environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "LABKIT_DEBIAN_MIRROR": mirror}
    done = empty("up", str(lab_file))
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    assert f"No Debian mirror can be reached ({mirror})" in done.stderr
    assert "LABKIT_DEBIAN_MIRROR" in done.stderr
    assert empty.left() == []
    left = {path.name for path in (tmp_path / "cache" / "labkit" / "images").iterdir()}
    assert left <= {"lock", "last-failure.log"}


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of the loopback interface that refuses, for as long as the test runs: bound, but nobody listens."""
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.mark.parametrize("cached", [True, False], ids=["to run the lab", "to build the image"])
def test_no_user_namespaces(empty: Labkit, lab_file: Path, tmp_path: Path, cached: bool) -> None:
    before = Path("/proc/sys/user/max_user_namespaces").read_text()
    if not cached:
        empty.environment = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = empty.run([sys.executable, "-m", "tests.e2e.without_user_namespaces", "up", str(lab_file)])
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    assert "user.max_user_namespaces is 0" in done.stderr
    assert "sudo sysctl -w user.max_user_namespaces=" in done.stderr
    assert empty.left() == []
    assert Path("/proc/sys/user/max_user_namespaces").read_text() == before


def test_a_closed_terminal_takes_no_lab_down(empty: Labkit, lab_file: Path) -> None:
    """Progress that nobody reads is no reason to give up: `labkit up ... 2>&1 | head -1`."""
    up = empty.start("up", str(lab_file))
    assert up.stdout
    assert up.stderr
    assert up.stderr.readline().startswith(" prepare")
    up.stderr.close()
    assert up.wait(WITHIN) == 0
    up.stdout.close()
    assert empty.json("list")[0]["state"] == "running"


def test_progress_on_a_terminal(empty: Labkit, lab_file: Path) -> None:
    master, slave = pty.openpty()
    up = subprocess.Popen(
        empty.argv("up", str(lab_file)),
        env=empty.variables | {"TERM": "xterm", "COLUMNS": "120"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    seen = read_until(master, b"remove everything of it", WITHIN).decode()
    os.close(master)
    assert up.wait(WITHIN) == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen)
    for phase in (
        r"prepare .*is present",
        r"plan .* nodes, \d+ links",
        r"boot +\d+/\d+ nodes +\d",
        r"verify +\d+ proofs ✓",
    ):
        assert re.search(rf"^ {phase}", plain.replace("\r", "\n"), re.MULTILINE), plain
    assert seen.count("\x1b[?25l") == seen.count("\x1b[?25h") > 0  # the cursor is shown again
    assert re.search(r"cli is up in \d", plain)
