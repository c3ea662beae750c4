"""Whether this machine can build the image and run labs, on each runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from labkit.errors import EnvironmentProblem
from labkit.runtimes.containerlab import docker_engine
from labkit.runtimes.containerlab import tool as containerlab_tool
from labkit.runtimes.image import debian as image_debian
from labkit.runtimes.image import images
from labkit.runtimes.kernel_probe import KernelProbe, probe_all
from labkit.runtimes.select import CONTAINERLAB, SANDBOX

_IPV6 = Path("/proc/sys/net/ipv6")


def examine() -> dict[str, tuple[KernelProbe, ...]]:
    """The requirements of each runtime, each one tried: by runtime, in the order in which labkit prefers them."""
    common = (_image(), _ipv6())
    return {
        SANDBOX: (*probe_all(), *common),
        CONTAINERLAB: (
            _tried("Docker engine", docker_engine.version),
            _tried("containerlab", lambda: containerlab_tool.version(containerlab_tool.program())),
            *common,
        ),
    }


def _image() -> KernelProbe:
    spec = images.node_image()
    if images.installed(spec.reference) is not None:
        return KernelProbe(f"image {spec.title}", True)
    try:
        image_debian.check()
    except EnvironmentProblem as problem:
        return KernelProbe(f"image {spec.title}", False, problem.message, problem.remedy)
    return KernelProbe(f"image {spec.title}: not built yet, but can be", True)


def _ipv6() -> KernelProbe:
    if _IPV6.is_dir():
        return KernelProbe("IPv6 in the kernel", True)
    return KernelProbe(
        "IPv6 in the kernel",
        False,
        "nodes disable IPv6 addresses by sysctl, and this kernel has no such setting.",
        "Boot without `ipv6.disable=1`; `ipv6.disable_ipv6=1` has the same effect and keeps the setting.",
    )


def _tried(name: str, version: Callable[[], str]) -> KernelProbe:
    try:
        return KernelProbe(f"{name} {version()}", True)
    except EnvironmentProblem as problem:
        return KernelProbe(name, False, problem.message, problem.remedy)
