"""The sandbox's parts that need no namespaces."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from labkit.runtimes.sandbox import state, sysctls, wire
from labkit.runtimes.sandbox.health import Watch, marker_files
from labkit.runtimes.sandbox.loop import Loop
from labkit.runtimes.sandbox.spec import Bind, End, Health, Link, Node, SandboxLab, from_json
from labkit.runtimes.sandbox.warm import WarmProcesses


@pytest.mark.parametrize(
    ("test", "files"),
    [
        (("CMD", "test", "-e", "/run/a"), ["/run/a"]),
        (("CMD", "test", "-f", "/run/a", "-a", "-e", "/tmp/b"), ["/run/a", "/tmp/b"]),
        (("CMD-SHELL", "test -e /run/a && test -e /run/b"), ["/run/a", "/run/b"]),
        (("CMD", "test", "-e", "/run/a", "&&", "test", "-e", "/run/b"), None),
        (("CMD", "test", "-e", "/etc/a"), None),
        (("CMD", "test", "-e", "/run/../etc/a"), None),
        (("CMD", "test", "!", "-e", "/run/a"), None),
        (("CMD", "test", "-e", "/run/a", "-o", "-e", "/run/b"), None),
        (("CMD", "curl", "localhost"), None),
        (("CMD-SHELL", "test -e /run/a || test -e /run/b"), None),
        (("CMD-SHELL", "test -e /run/$X"), None),
        (("CMD-SHELL", "test -e '/run/a"), None),
        (("CMD", "test"), None),
    ],
)
def test_healthchecks_that_only_ask_for_files(test: tuple[str, ...], files: list[str] | None) -> None:
    assert marker_files(test) == files


def test_a_lab_survives_the_wire() -> None:
    node = Node(
        "a", "A", "image", ("/x",), ("sh", "-c", "é"), {"A": "b"}, (Bind("/s", "/t", True),), {"x": "1"}, (1, 2), False,
        (("ip", "a"),), Health(("CMD", "true"), 1, 2, 3, 4),
    )  # fmt: skip
    lab = SandboxLab(
        "x", (node,), (Link(End("a", "e0", "02:00:00:00:00:01"), End("a", "e1", "02:00:00:00:00:02"), 1500),)
    )
    assert from_json(json.loads(json.dumps(lab.to_json()))) == lab


def test_nodes_do_without_a_warm_process_that_has_ended(tmp_path: Path) -> None:
    node = Node("a", "a", "image", ("/x",), (), {}, (), {}, (), False, (), None)
    processes = WarmProcesses()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.close()
    processes._channels[node.layers] = ours
    assert processes.listen((node,), tmp_path) == (node,)


def test_messages_and_descriptors_arrive_whole() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        reader = wire.Reader[object](theirs)
        where, what = os.pipe()
        wire.send(ours, {"a": "x" * 100_000}, (where,))
        wire.send(ours, {"b": 1})
        message, descriptors = reader.read()
        assert message == {"a": "x" * 100_000}
        os.write(what, b"through")
        assert os.read(descriptors[0], 10) == b"through"
        assert reader.read() == ({"b": 1}, [])
        ours.close()
        with pytest.raises(wire.Closed):
            reader.read()
        for descriptor in (where, what, *descriptors):
            os.close(descriptor)


def test_a_claim_excludes_others_and_removes_what_the_dead_left(tmp_path: Path) -> None:
    directory = tmp_path / "lab" / "sandbox"
    lock = state.claim(directory)
    (directory / "old").mkdir()
    (directory / state.STATE).write_text("half writ")
    assert state.locked(directory)
    assert state.read(directory) is None
    with pytest.raises(state.InUse):
        state.claim(directory)
    os.close(lock)
    assert not state.locked(directory)
    lock = state.claim(directory)
    assert not list(directory.iterdir())
    os.close(lock)
    state.remove(directory)
    assert not directory.parent.exists()
    assert not state.locked(directory)


def test_nothing_is_killed_by_its_number_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        identity = state.identify(process.pid)
        assert identity is not None
        state.write(tmp_path, "x", identity)
        assert state.read(tmp_path) == identity
        for stranger in (
            state.Identity(identity.pid, identity.start_ticks - 1, identity.boot_id, identity.pid_namespace),
            state.Identity(identity.pid, identity.start_ticks, "another boot", identity.pid_namespace),
            state.Identity(identity.pid, identity.start_ticks, identity.boot_id, identity.pid_namespace + 1),
        ):
            state.kill(stranger)
        assert process.poll() is None
        state.kill(identity)
        assert process.wait() == -signal.SIGKILL
    state.kill(identity)  # it is gone: nothing to do
    assert state.identify(process.pid) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"init": {"pid": 1}}', '{"init": null}'])
def test_a_broken_state_file_names_no_process(tmp_path: Path, content: str) -> None:
    (tmp_path / state.STATE).write_text(content)
    assert state.read(tmp_path) is None


def test_the_loop_reports_how_children_ended() -> None:
    """In a process of its own, since the loop takes the process's signal handling over."""
    pid = os.fork()
    if pid == 0:
        loop = Loop()
        ends: list[int] = []

        def ended(status: int) -> None:
            ends.append(status)
            if len(ends) == 2:
                os._exit(0 if sorted(ends) == [7, 128 + signal.SIGKILL] else 1)

        for killed in (False, True):
            child = os.fork()
            if child == 0:
                if killed:
                    os.kill(os.getpid(), signal.SIGKILL)
                os._exit(7)
            loop.on_exit(child, ended)
        loop.after(20, lambda: os._exit(2))
        loop.after(0, lambda: None).cancel()
        loop.run()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize(
    ("name", "path", "own"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward", True),
        ("net/ipv4/conf/eth0.100/forwarding", "net/ipv4/conf/eth0.100/forwarding", True),
        ("net.ipv4.conf.eth0/100.forwarding", "net/ipv4/conf/eth0.100/forwarding", True),
        ("kernel.shmmax", "kernel/shmmax", True),
        ("kernel.panic", "kernel/panic", False),
        ("vm.overcommit_memory", "vm/overcommit_memory", False),
        ("net/../kernel/panic", "net/../kernel/panic", False),
        ("net", "net", False),
    ],
)
def test_sysctls_that_a_node_can_have(name: str, path: str, own: bool) -> None:
    assert (sysctls.path_of(name), sysctls.namespaced(name)) == (path, own)


class Over(Exception):
    """Ends a loop."""


def watched(loop: Loop, root: Path, patience: float) -> tuple[Watch, list[str | None]]:
    """A watch of a healthcheck that asks for two files, which ends the loop; and what it reports."""
    (root / "run").mkdir()
    reports: list[str | None] = []

    def not_run(*_: object) -> None:
        raise AssertionError("a test that asks for files alone is not run")

    def report(reason: str | None) -> None:
        reports.append(reason)
        raise Over

    test = ("CMD", "test", "-e", "/run/ready/a", "-a", "-e", "/run/ready/b")
    return Watch(loop, Health(test, patience, 0.0, 1.0, 1), root, not_run, report, alive=lambda: True), reports


def test_health_is_there_when_the_last_file_is(tmp_path: Path) -> None:
    loop = Loop()
    _, reports = watched(loop, tmp_path, 60.0)
    ready = tmp_path / "run" / "ready"
    loop.after(0, ready.mkdir)
    loop.after(0.01, (ready / "b").touch)
    loop.after(0.02, (ready / "a").touch)
    with pytest.raises(Over):
        loop.run()
    assert reports == [None]


def test_health_fails_when_the_time_is_over(tmp_path: Path) -> None:
    loop = Loop()
    _, reports = watched(loop, tmp_path, 0.05)
    (tmp_path / "run" / "ready").mkdir()
    (tmp_path / "run" / "ready" / "a").touch()
    with pytest.raises(Over):
        loop.run()
    assert reports == ["test -e /run/ready/a -a -e /run/ready/b: exit status 1: b is missing"]


def test_health_fails_when_the_node_ends(tmp_path: Path) -> None:
    loop = Loop()
    watch, reports = watched(loop, tmp_path, 60.0)
    loop.after(0, watch.node_ended)
    with pytest.raises(Over):
        loop.run()
    assert reports == ["test -e /run/ready/a -a -e /run/ready/b: exit status 1: a is missing"]
