"""Whether this machine's kernel lets the sandbox work, and if not, which setting of which distribution forbids it."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import labkit
from labkit.linux import CHROOT

_DEADLINE = 30.0
_MAIN = "import sys; sys.path.insert(0, sys.argv[1]); from labkit.runtimes.sandbox.trial import main; main()"

# Steps of `labkit.runtimes.sandbox.trial` after the namespaces themselves: what they are for, and what they need.
_STEPS = {
    "mount": ("mounts", "mount proc and tmpfs", ""),
    "sysfs": ("sysfs", "mount sysfs", ""),
    "overlay": ("overlayfs", "give every node its own files", "overlay, CONFIG_OVERLAY_FS, Linux 5.11 or newer"),
    "pivot_root": ("pivot_root", "give every node its own root", ""),
    "devices": ("devices", "give every node its devices", ""),
    "veth": ("veth", "link nodes", "veth, CONFIG_VETH"),
    "bridge": ("bridge", "make virtual networks", "bridge, CONFIG_BRIDGE"),
    "nexthop": ("nexthop objects", "let routes share next hops", "nothing, Linux 5.3 or newer"),
    "rule": ("policy routing", "give each NIC of a machine its own table", "nothing, CONFIG_IP_MULTIPLE_TABLES"),
    "nftables": ("nftables netdev", "let virtual networks decide", "nf_tables, CONFIG_NF_TABLES_NETDEV"),
}


@dataclass(frozen=True, slots=True)
class KernelProbe:
    """One thing that the sandbox needs. `why` is what is wrong, `remedy` what fixes it; both empty if `ok`."""

    name: str
    ok: bool
    why: str = ""
    remedy: str = ""


def probe_all() -> tuple[KernelProbe, ...]:
    """Try everything that the sandbox asks of the kernel, in namespaces that vanish at once."""
    results = _trial()
    probes = [_namespaces(results)]
    for step, (name, purpose, needs) in _STEPS.items():
        if step not in results:
            probes.append(KernelProbe(name, False, "not tried, since what it needs failed.", "Mend that first."))
        elif failure := results[step]:
            probes.append(_refused(step, name, purpose, needs, failure[1]))
        else:
            probes.append(KernelProbe(name, True))
    return tuple(probes)


def user_namespaces() -> KernelProbe:
    """Whether this user may make the namespaces that a lab lives in (root needs no user namespace)."""
    return _namespaces(_trial())


def _trial() -> Mapping[str, tuple[int, str] | None]:
    package = Path(labkit.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _MAIN, str(package)],
        capture_output=True,
        text=True,
        cwd="/",
        timeout=_DEADLINE,
        check=False,
    )
    if not done.stdout:
        return {"namespaces": (errno.EIO, f"trying it failed: {done.stderr.strip()[-500:]}")}
    return {step: (failure[0], failure[1]) if failure else None for step, failure in json.loads(done.stdout).items()}


def _namespaces(results: Mapping[str, tuple[int, str] | None]) -> KernelProbe:
    name = "namespaces" if os.geteuid() == 0 else "user namespaces"
    # Ubuntu's AppArmor lets the namespace be made, then refuses the first mount in it; so does a chroot to root.
    failure = results.get("namespaces") or results.get("mount")
    if not failure:
        return KernelProbe(name, True)
    if failure[0] == errno.ENOSPC and not _forbidden_kinds():
        why = "A limit on namespaces is reached: the sysctls user.max_*_namespaces, or 32 levels of them"
        return KernelProbe(name, False, f"{why} ({failure[1]})", "Take labs down, or raise the limits (`sysctl user`).")
    if failure[1].startswith(f"{CHROOT}:"):
        why = "This is a chroot, where commands in nodes would see the files of the machine."
        return KernelProbe(name, False, why, _CHROOT_REMEDY)
    why, remedy = explain_refusal()
    return KernelProbe(name, False, f"{why} ({failure[1]})", remedy)


def _refused(step: str, name: str, purpose: str, needs: str, reason: str) -> KernelProbe:
    why = f"the sandbox can't {purpose} ({reason})."
    if step == "pivot_root" or (step == "mount" and in_chroot()):
        return KernelProbe(name, False, f"{why} This is a chroot.", _CHROOT_REMEDY)
    if step in ("mount", "sysfs"):
        if in_container():
            return KernelProbe(
                name, False, f"{why} This is a container, whose engine hides parts of it.", _CONTAINER_REMEDY
            )
        return KernelProbe(name, False, why, explain_refusal()[1])
    if step == "devices":
        return KernelProbe(name, False, why, "Mount /dev here (mount -t devtmpfs dev /dev).")
    module, _, option = needs.partition(", ")
    load = f"Run `sudo modprobe {module}`; if there is no such module, use" if module != "nothing" else "Use"
    return KernelProbe(name, False, why, f"{load} a kernel with it ({option}).")


_CHROOT_REMEDY = (
    "Run labkit outside the chroot, or enter its root file system with pivot_root (as `unshare` and `bwrap` do)."
)
_CONTAINER_REMEDY = (
    "Run labkit on the machine itself, or start the container with `--privileged` "
    "(in a devcontainer.json: \"runArgs\": [\"--privileged\"])."
)  # fmt: skip


def explain_refusal() -> tuple[str, str]:
    """Why this machine refuses namespaces, and the remedy: the known settings, most particular first."""
    if not Path("/proc/self").exists():
        return "/proc is not mounted here.", "Mount it (mount -t proc proc /proc), or run labkit outside the chroot."
    if not Path("/proc/self/ns/user").exists():
        return "The kernel has no user namespaces.", "Use a kernel with CONFIG_USER_NS, or run labkit as root."
    if in_chroot():
        return (
            "This is a chroot, where the kernel refuses user namespaces, and refuses root its own root directory.",
            _CHROOT_REMEDY,
        )
    if os.geteuid() != 0:
        for setting, bad, whose in (
            ("kernel.unprivileged_userns_clone", "0", "Debian 10 and older, and hardened kernels, set it"),
            ("kernel.apparmor_restrict_unprivileged_userns", "1", "Ubuntu 23.10 and newer set it"),
        ):
            if _sysctl(setting) == bad:
                return f"The sysctl {setting} is {bad}: ordinary users get no user namespaces ({whose}).", _set(
                    setting, "1" if bad == "0" else "0"
                )
    limits = _forbidden_kinds()
    if limits:
        setting = f"user.max_{limits[0]}_namespaces"
        whose = "CentOS and Red Hat Enterprise Linux 7, and hardening guides, set it"
        return f"The sysctl {setting} is 0: no such namespace can be made ({whose}).", _set(setting, "15000")
    if in_container():
        kind = "a hosted development container" if _in_development_container() else "a container"
        return f"This is {kind}, and its engine forbids namespaces (seccomp, AppArmor).", _CONTAINER_REMEDY
    if os.geteuid() == 0:
        return (
            "root lacks the capability SYS_ADMIN here and may not make user namespaces.",
            "Run labkit as an ordinary user.",
        )
    return (
        "The kernel, or a security module, refuses user namespaces to ordinary users.",
        "Ask your administrator which policy it is (SELinux, AppArmor, seccomp), or run labkit as root.",
    )


def _forbidden_kinds() -> list[str]:
    """The kinds of namespaces of which there may be none at all."""
    kinds = ("user", "mnt", "pid", "net", "uts", "ipc")
    return [kind for kind in kinds if _sysctl(f"user.max_{kind}_namespaces") == "0"]


def _set(setting: str, value: str) -> str:
    keep = f"echo {setting}={value} | sudo tee /etc/sysctl.d/90-labkit.conf"
    return f"Run `sudo sysctl -w {setting}={value}` (to keep it: `{keep}`), or run labkit as root."


def _sysctl(name: str) -> str:
    try:
        return Path("/proc/sys", name.replace(".", "/")).read_text().strip()
    except OSError:
        return ""


def in_chroot() -> bool:
    """Whether the root directory is not that of the mount namespace, as far as an ordinary user can see."""
    own, first = _root_mount("self"), _root_mount("1")
    if own is None:
        return True  # "/" is a directory of some mount, not a mount
    try:
        if Path("/proc/self/ns/mnt").readlink() != Path("/proc/1/ns/mnt").readlink():
            return False
    except OSError:
        return False  # another user's PID 1 can't be read; a container has its own anyway
    return first is not None and own != first


def _root_mount(process: str) -> str | None:
    try:
        lines = Path(f"/proc/{process}/mountinfo").read_text().splitlines()
    except OSError:
        return None
    found = [fields[0] for fields in map(str.split, lines) if fields[4] == "/"]
    return found[-1] if found else None


def in_container() -> bool:
    """Whether this is a container of Docker, Podman or another engine that marks its containers."""
    return (
        Path("/.dockerenv").exists()
        or Path("/run/.containerenv").exists()
        or Path("/run/systemd/container").exists()
        or "container" in os.environ
        or _in_development_container()
    )


def _in_development_container() -> bool:
    """Whether this is a hosted development container (Codespaces, VS Code, Gitpod)."""
    return any(
        name in os.environ for name in ("CODESPACES", "REMOTE_CONTAINERS", "DEVCONTAINER", "GITPOD_WORKSPACE_ID")
    )
