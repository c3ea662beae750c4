"""The data that travels with labkit: templates, labs and image definitions.

In a source tree they are top-level folders, where people look for them; in an installed wheel they are inside the
package (see `force-include` in pyproject.toml).
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent
_ROOT = _PACKAGE / "data" if (_PACKAGE / "data").is_dir() else _PACKAGE.parent


def templates() -> Path:
    """The folder of Jinja templates."""
    return _ROOT / "templates"


def topologies() -> Path:
    """The folder of labs that come with labkit; each is a folder with a `lab.yml`."""
    return _ROOT / "topologies"


def images() -> Path:
    """The folder of image definitions."""
    return _ROOT / "images"
