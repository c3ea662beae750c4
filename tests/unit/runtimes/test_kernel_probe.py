"""What `labkit doctor` finds of a kernel: the real one, and the ones that refuse."""

from __future__ import annotations

import errno
import os
import traceback
from pathlib import Path

import pytest

from labkit import linux
from labkit.linux import CHROOT, must_have_whole_root
from labkit.runtimes import kernel_probe
from labkit.runtimes.sandbox import launcher


def test_this_machine_is_fit() -> None:
    """The tests run on a machine that can run labs; every probe finds so."""
    bad = [probe for probe in kernel_probe.probe_all() if not probe.ok]
    assert not bad, bad
    assert kernel_probe.user_namespaces().ok
    assert not kernel_probe.in_chroot()


@pytest.mark.parametrize(
    ("settings", "says", "mends"),
    [
        (
            {"kernel.unprivileged_userns_clone": "0"},
            "The sysctl kernel.unprivileged_userns_clone is 0: ordinary users get no user namespaces (Debian 10",
            "sudo sysctl -w kernel.unprivileged_userns_clone=1",
        ),
        (
            {"kernel.apparmor_restrict_unprivileged_userns": "1"},
            "The sysctl kernel.apparmor_restrict_unprivileged_userns is 1: ordinary users get no user namespaces (Ub",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        (
            {"user.max_user_namespaces": "0"},
            "The sysctl user.max_user_namespaces is 0: no such namespace can be made (CentOS",
            "sudo sysctl -w user.max_user_namespaces=15000",
        ),
    ],
)
def test_which_setting_of_which_distribution_forbids_it(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], says: str, mends: str
) -> None:
    """These settings can't be made here: they belong to the host."""
    monkeypatch.setattr(kernel_probe, "_sysctl", lambda name: settings.get(name, ""))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(
        kernel_probe, "_trial", lambda: {"namespaces": (errno.EPERM, "unshare: Operation not permitted")}
    )
    probe = kernel_probe.user_namespaces()
    assert not probe.ok
    assert probe.why.startswith(says)
    assert probe.why.endswith("(unshare: Operation not permitted)")
    assert mends in probe.remedy


def test_a_development_container_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_probe, "_sysctl", lambda _: "")
    monkeypatch.setenv("CODESPACES", "true")
    why, remedy = kernel_probe.explain_refusal()
    assert "hosted development container" in why
    assert "runArgs" in remedy


def test_what_a_missing_part_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = {
        "namespaces": None,
        "mount": None,
        "overlay": (errno.ENODEV, "mount overlay: No such device"),
        "veth": None,
    }
    monkeypatch.setattr(kernel_probe, "_trial", lambda: steps)
    found = {probe.name: probe for probe in kernel_probe.probe_all()}
    assert found["veth"].ok
    assert "No such device" in found["overlayfs"].why
    assert "modprobe overlay" in found["overlayfs"].remedy
    assert "not tried" in found["bridge"].why


def enter_a_chroot() -> None:
    """Leave this process in a chroot with nothing but /proc."""
    if os.geteuid():
        launcher.make_namespaces()
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_SLAVE)
    linux.mount("labkit", "/mnt", "tmpfs")
    Path("/mnt/root/proc").mkdir(parents=True)
    linux.mount("/proc", "/mnt/root/proc", flags=linux.MS_BIND | linux.MS_REC)
    os.chroot("/mnt/root")
    os.chdir("/")


def test_a_chroot_is_recognised() -> None:
    """Seen from inside one: the root directory is no mount there."""
    pid = os.fork()
    if pid == 0:
        try:
            enter_a_chroot()
            os._exit(0 if kernel_probe.in_chroot() else 1)
        finally:
            traceback.print_exc()
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_chroot_is_named_by_what_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_probe, "_trial", lambda: {"namespaces": (errno.EPERM, f"{CHROOT}: it is another's")})
    probe = kernel_probe.user_namespaces()
    assert not probe.ok
    assert probe.why == "This is a chroot, where commands in nodes would see the files of the machine."
    assert "outside the chroot" in probe.remedy


@pytest.mark.skipif(os.geteuid() != 0, reason="to join a mount namespace takes root")
def test_the_root_directory_of_the_tests_is_whole() -> None:
    must_have_whole_root()


def test_missing_devices_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"namespaces": None, "mount": None, "devices": (errno.ENOENT, "/dev/tty: No such file or directory")}
    monkeypatch.setattr(kernel_probe, "_trial", lambda: found)
    (devices,) = (probe for probe in kernel_probe.probe_all() if probe.name == "devices")
    assert (devices.ok, "/dev/tty" in devices.why) == (False, True)
    assert "mount -t devtmpfs" in devices.remedy
