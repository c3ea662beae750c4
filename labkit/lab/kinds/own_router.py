"""NVAs whose BGP is the user's own: a configuration file for labkit's daemon, or an image."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from labkit.lab.file.draft import Draft
from labkit.lab.file.problems import listed
from labkit.lab.kinds.export_rules import SHORTHANDS

_OF_BGP = ("exports", *SHORTHANDS, "requires_policy", "ebgp_multihop", "advertises", "redistribute_static")
"""What labkit's configuration of a daemon makes of an NVA."""

_OF_NODE = ("snat", "stateful", "tracks")
"""What programs in labkit's image do in an NVA."""

_OF_IMAGE = ("binds", "env", "cmd", "cap_add")


class OwnRouter(Protocol):
    """The keys of an NVA whose router is the user's own."""

    asn: int | None
    config: str | None
    image: str | None
    binds: tuple[str, ...]
    env: Mapping[str, str]
    cmd: str | None
    tracks: str | None

    @property
    def model_fields_set(self) -> set[str]:
        """The keys that the file has."""


def check_own(draft: Draft, name: str, nva: OwnRouter) -> None:
    """Notes what does not go together with a configuration or an image of the user's own, and what has no effect."""
    place, about = ("nvas", name), f"NVA {name}"
    sound = not draft.broken(place)
    given = [key for key in _OF_IMAGE if getattr(nva, key)]
    if nva.image is None:
        if given and sound:
            text = f"{about}: {listed(given)} {'are' if len(given) > 1 else 'is'} for an image of your own."
            draft.error((*place, given[0]), text, f"Add image, or remove {'them' if len(given) > 1 else given[0]}.")
    elif not nva.image or any(map(str.isspace, nva.image)):
        text = f'{about}: "{nva.image}" is not the name of an image.'
        draft.error((*place, "image"), text, "Write repository:tag, such as vendor/router:1.2.")
    if nva.image is not None and nva.config is not None:
        text = f"{about}: config is for the daemon of labkit's image, and the NVA has an image of its own."
        draft.error((*place, "config"), text, "Remove image, or bring the file into it: binds: [fw/frr.conf:/etc/...].")
    if nva.config is not None and nva.asn is None and sound:
        text = f"{about}: config is for its BGP daemon, and without asn it has none."
        draft.error((*place, "config"), text, "Add asn, or remove config.")
    for bind in nva.binds:
        if ":/" not in bind:
            text = f'{about}: bind "{bind}" is not of the form source:/target.'
            draft.error(
                (*place, "binds"), text, "Write it as containerlab has it, such as fw/startup.cfg:/config.cfg:ro."
            )
    _check_without_effect(draft, name, nva, set() if nva.image is None else {*_OF_NODE})


def _check_without_effect(draft: Draft, name: str, nva: OwnRouter, refused: Collection[str]) -> None:
    own = "config" if nva.config is not None else "image" if nva.image is not None else ""
    place, about = ("nvas", name), f"NVA {name}"
    if own and nva.tracks is not None:
        refused = {*refused, "tracks"}
    for key in _OF_NODE if own else ():
        if key in refused and getattr(nva, key):
            text = f"{about}: {key} is done by labkit's own configuration, and the NVA's {own} is yours."
            draft.error((*place, key), text, f"Remove {key}, or {own}.")
    # Into an image labkit brings static routes by commands.
    of_daemon = () if not own else (*_OF_BGP, "static_routes") if own == "config" else _OF_BGP
    for key in of_daemon:
        if key in nva.model_fields_set:
            text = f"{about}: {key} has no effect: its routing is what its {own} makes it."
            draft.warn((*place, key), text, f"Configure it there, and remove {key}.")
