"""Whether this machine can build the image and run labs."""

from __future__ import annotations

from labkit.errors import EnvironmentProblem
from labkit.runtimes import image_debian, images
from labkit.runtimes.kernel_probe import Probe, probe_all


def examine() -> list[Probe]:
    """What the sandbox needs of the kernel, each tried, and whether the image is there or can be built."""
    return [*probe_all(), _image()]


def _image() -> Probe:
    spec = images.node_image()
    if images.installed(spec.reference) is not None:
        return Probe(f"image {spec.reference}", True)
    try:
        image_debian.check()
    except EnvironmentProblem as problem:
        return Probe(f"image {spec.reference}", False, problem.message, problem.remedy)
    return Probe(f"image {spec.reference}: not built yet, can be", True)
