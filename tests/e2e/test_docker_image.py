"""The node image in Docker: what is imported, and what the Dockerfile makes, are the same as what the sandbox runs."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.runtimes.containerlab import docker_images
from labkit.runtimes.containerlab.docker_engine import engine
from labkit.runtimes.image import images
from tests.e2e.engines import need_containerlab

REPOSITORY = Path(__file__).resolve().parents[2]
BUILT = "labkit/node-dockerfile-test:latest"


@pytest.fixture(scope="module", autouse=True)
def _engine() -> None:
    need_containerlab()


@pytest.fixture(scope="module")
def imported() -> images.Image:
    image = images.ensure(images.node_image())
    docker_images.ensure(image.reference)
    return image


@pytest.fixture(scope="module")
def built(imported: images.Image) -> Iterator[str]:
    """The Dockerfile's image, from the imported one as its base: nothing is fetched."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for part in ("images/node", "labkit"):
            tar.add(REPOSITORY / part, part, filter=lambda each: None if "__pycache__" in each.name else each)
    context.seek(0)
    lines = list(
        engine().build(
            fileobj=context, custom_context=True, dockerfile="images/node/Dockerfile", tag=BUILT, rm=True, forcerm=True,
            buildargs={"BASE": imported.reference}, decode=True,
        )
    )  # fmt: skip
    assert [line["error"] for line in lines if "error" in line] == [], lines
    yield BUILT
    engine().remove_image(BUILT)


def printed(image: str, *argv: str) -> str:
    """What a command in a container of the image prints."""
    client = engine()
    settings = client.create_host_config(network_mode="none")
    container = client.create_container(image, list(argv), host_config=settings)["Id"]
    try:
        client.start(container)
        assert client.wait(container)["StatusCode"] == 0
        return client.logs(container).decode()
    finally:
        client.remove_container(container, force=True)


def packages(image: str) -> dict[str, str]:
    listing = printed(image, "dpkg-query", "--show", "--showformat", "${Package} ${Version}\\n")
    return dict(line.split() for line in listing.splitlines())


def files(image: str) -> list[str]:
    """Every file of labkit's with the hash of its content; byte code by its name only."""
    script = (
        "cd /opt/labkit && find . -type f ! -name '*.pyc' -exec sha256sum {} + | sort -k2;"
        "find . -name '*.pyc' | sort; cat /etc/group; ls -l /usr/lib/python3/dist-packages/labkit.pth"
    )
    return [line for line in printed(image, "sh", "-c", script).splitlines() if "labkit.pth" not in line]


def test_docker_has_what_the_sandbox_has(imported: images.Image) -> None:
    assert packages(imported.reference) == imported.packages()


def test_the_dockerfile_makes_the_same(imported: images.Image, built: str) -> None:
    assert packages(built) == packages(imported.reference)
    assert files(built) == files(imported.reference)


def test_old_images_are_removed_and_used_ones_are_not(imported: images.Image) -> None:
    client = engine()
    client.tag(imported.reference, images.REPOSITORY, "0000000000000000")
    client.tag(imported.reference, images.REPOSITORY, "1111111111111111")
    removed = docker_images.prune([f"{images.REPOSITORY}:1111111111111111"])
    assert f"{images.REPOSITORY}:0000000000000000" in removed
    assert docker_images.present(f"{images.REPOSITORY}:1111111111111111")
    assert docker_images.present(imported.reference)
    client.remove_image(f"{images.REPOSITORY}:1111111111111111")
