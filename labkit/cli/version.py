"""`labkit version`: the versions of labkit and of what it runs on."""

from __future__ import annotations

import platform

from labkit import __version__
from labkit.cli.output import Format, FormatOption, put, put_json
from labkit.runtimes.image.images import node_image


def command(output: FormatOption = Format.TABLE) -> None:
    """Print the versions of labkit, the image, Python and the kernel."""
    facts = {
        "labkit": __version__,
        "image": node_image().reference,
        "python": platform.python_version(),
        "kernel": platform.release(),
    }
    if output is Format.JSON:
        put_json(facts)
        return
    for name, value in facts.items():
        put(f"{name:<8} {value}")
