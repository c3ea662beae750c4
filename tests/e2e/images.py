"""The nodes' image, for tests that boot topologies of their own."""

from __future__ import annotations

import os
from pathlib import Path

from labkit.runtimes.containerlab import docker_images
from labkit.runtimes.image import images


def image_layers() -> list[Path]:
    """Its layers; the ordinary user's own copy if root has made one (`as_user.py`)."""
    given = os.environ.get("LABKIT_TEST_LAYERS")
    return [Path(p) for p in given.split(":")] if given else list(images.ensure(images.node_image()).layers)


def docker_image() -> str:
    """Its name at the machine's Docker engine, which has it."""
    spec = images.node_image()
    images.ensure(spec)
    docker_images.ensure(spec.reference)
    return spec.reference
