"""The node image in Docker: imported from the sandbox's layers, under the same content tag."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from typing import cast

from docker.errors import APIError

from labkit.errors import EnvironmentProblem
from labkit.runtimes.containerlab.docker_engine import containers, engine, translated
from labkit.runtimes.image import images


def present(reference: str) -> bool:
    """Whether the engine has an image of this name."""
    with translated():
        return bool(engine().images(name=reference))


def ensure(reference: str) -> None:
    """Bring labkit's own image into the engine if it is not there; others are the engine's to pull.

    Raises:
        EnvironmentProblem: it is neither in the engine nor on disk, or the engine can't take it.
    """
    if present(reference) or not reference.startswith(f"{images.REPOSITORY}:"):
        return
    image = images.installed(reference)
    if image is None:
        raise EnvironmentProblem(
            f"Image {reference} is neither in Docker nor on this machine.",
            f"Build it: labkit image build    (this labkit's is {images.node_image().reference})",
        )
    repository, _, tag = reference.partition(":")
    with subprocess.Popen(images.tar_command(image), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tar:
        assert tar.stdout is not None
        assert tar.stderr is not None
        with translated():
            engine().import_image_from_stream(tar.stdout, repository=repository, tag=tag)
        errors = tar.stderr.read().decode(errors="replace")
    if tar.returncode != 0:
        with translated():
            engine().remove_image(reference)
        raise EnvironmentProblem(
            f"Image {reference} can't be read: {errors.strip()}", "Build it again: labkit image build"
        )


def prune(keep: Iterable[str] = ()) -> list[str]:
    """Remove labkit's images but today's, those in `keep` and those that containers use; returns what was removed."""
    needed = {images.node_image().reference, *keep, *(str(each["Image"]) for each in containers({}))}
    with translated():
        found = engine().images(name=images.REPOSITORY)
    tags = [str(tag) for image in found for tag in cast("list[str]", image["RepoTags"] or ())]
    removed = []
    for tag in tags:
        if tag not in needed:
            try:
                engine().remove_image(tag)
            except APIError as error:
                if error.status_code != 409:  # a container was made from it just now
                    raise
            else:
                removed.append(tag)
    return removed
