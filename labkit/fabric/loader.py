"""Bring a fabric's program into the kernel, whatever is there now."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Set
from itertools import count

from labkit.fabric import nft
from labkit.fabric.iproute import KernelRefused
from labkit.fabric.program import Program, build, unhooked
from labkit.fabric.state import Fabric

_log = logging.getLogger("labkit.fabric")


class Loader:
    """The nftables table as it is in the kernel.

    Where a transaction may be of any size, a change is one transaction. Where it may not, a map that changes a lot is
    made again next to the old one, little by little, and ports are switched over to it when it is complete.
    """

    def __init__(self, room: int | None) -> None:
        """`room`: the greatest size of a transaction in bytes, None for none; see `nft.room`."""
        self._room = room
        # None: nobody knows what the kernel has.
        self._program: Program | None = None
        self._map_names: dict[str, str] = {}

    def forget(self, gone: Set[int]) -> None:
        """Interfaces (indices) went away, perhaps with their chains."""
        if self._program is not None:
            self._program = unhooked(self._program, gone)

    def load(self, fabric: Fabric, interfaces: Mapping[str, int]) -> None:
        """Make the kernel's program that of a fabric with these interfaces (index by name).

        Raises:
            KernelRefused: the kernel refused; packets go on as before, or partly as they should. Call again.
        """
        if self._program is not None:
            former, self._program = self._program, None
            try:
                self._program = self._change(former, fabric, interfaces)
            except KernelRefused as error:
                # It has not what we think it has: older kernels drop a chain together with its interface.
                _log.info("looking what the kernel has, since it refused a change: %s", error)
            else:
                return
        self._program = self._change(nft.adopt(), fabric, interfaces)

    def _change(self, former: Program, fabric: Fabric, interfaces: Mapping[str, int]) -> Program:
        program = build(fabric, interfaces, self._map_names)
        if self._room is not None:
            self._map_names = {name: self._map_name(name, former, program) for name in fabric.tables}
            program = build(fabric, interfaces, self._map_names)
        for lines in nft.transactions(nft.change(former, program), self._room):
            nft.run(lines)
        return program

    def _map_name(self, table: str, former: Program, program: Program) -> str:
        current = self._map_names.get(table, f"r-{table}")
        kernels = former.maps.get(current)
        if kernels is None or nft.changed_elements(kernels, program.maps[current].elements) <= nft.ELEMENTS_AT_ONCE:
            return current
        # No table's own name has a slash.
        return next(name for i in count() if (name := f"r-{table}/{i}") not in former.maps)
