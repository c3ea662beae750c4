"""ExaBGP's neighbours: peers come and go while the lab runs, by another file and a reload that is checked.

Two traps make it so (docs/exabgp.md, "Reload"): one reload of a bad file spoils every later one, so a file is validated
before it takes its place; and a reload is silently lost while a connected neighbour has routes to be sent, so it is
asked for when there are none, and again until ExaBGP shows the neighbours of the file. Not before that is the file
changed once more: a neighbour that went and came back between two looks would look as if it had never gone.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from labkit.azure.model import BgpPeer
from labkit.routeserver import wire

PATIENCE = 10.0
"""Seconds that ExaBGP may take to check a file: less than a worker may go without a sign of life."""

Known = Mapping[str, int]
"""ASNs of neighbours by address."""


_NEIGHBOUR = re.compile(r"^neighbor (\S+) \{[^}]*\bpeer-as (\d+);", re.MULTILINE)


class FileRefused(Exception):
    """ExaBGP does not understand a file that we wrote."""


class Neighbours:
    """The peers that ExaBGP has, and those that it should have."""

    def __init__(self, file: Path, known: Known) -> None:
        """`file` is the one that ExaBGP was started with, `known` the neighbours that it has shown."""
        self._file = file
        self._known = dict(known)
        self._written = neighbours_in(file.read_text(encoding="utf-8"))
        self._wanted: tuple[BgpPeer, ...] | None = None

    @property
    def settled(self) -> bool:
        """Whether ExaBGP has the neighbours that it should have."""
        return self._known == self._written == self._target

    @property
    def _target(self) -> Known:
        return self._written if self._wanted is None else {str(peer.address): peer.asn for peer in self._wanted}

    def want(self, peers: Iterable[BgpPeer]) -> None:
        """Have these and no others from now on."""
        self._wanted = tuple(peers)

    def keep(self) -> None:
        """Have those of the file, until others are wanted."""
        self._wanted = None

    def shown(self, known: Known) -> None:
        """ExaBGP has shown its neighbours."""
        self._known = dict(known)

    def reload(self) -> tuple[bytes, ...]:
        """Write what is wanted, if nothing else is on its way; the commands to read it and show what came of it.

        Raises:
            FileRefused: ExaBGP would not take the file; the old one stays.
            OSError, SubprocessError: there is no room for the file, or no answer: it may be tried again.
        """
        if self._known == self._written and self._wanted is not None:
            fresh = self._file.with_name(self._file.name + ".new")
            fresh.write_text(with_neighbours(self._file.read_text(encoding="utf-8"), self._wanted), encoding="utf-8")
            _validate(fresh)
            fresh.replace(self._file)
            self._written = self._target
        return wire.RELOAD


def neighbours_in(configuration: str) -> Known:
    """The neighbours of ExaBGP's configuration."""
    return {address: int(asn) for address, asn in _NEIGHBOUR.findall(configuration)}


def with_neighbours(configuration: str, peers: Iterable[BgpPeer]) -> str:
    """ExaBGP's configuration with these neighbours in place of those it has; each inherits the template `peer`."""
    head = configuration.partition("\nneighbor ")[0].rstrip("\n")
    return head + "\n" + "".join(map(_neighbour, peers))


def _neighbour(peer: BgpPeer) -> str:
    lines = (f'description "{peer.name}";', "inherit peer;", f"peer-as {peer.asn};")
    return f"\nneighbor {peer.address} {{\n" + "".join(f"    {line}\n" for line in lines) + "}\n"


def _validate(file: Path) -> None:
    argv = [sys.executable, "-m", "exabgp", "validate", str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=PATIENCE)
    if done.returncode != 0:
        raise FileRefused((done.stderr or done.stdout).strip())
