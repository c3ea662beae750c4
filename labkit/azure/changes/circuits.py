"""Changes of ExpressRoute circuits' authorizations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from labkit.azure.changes.base import Change, named
from labkit.azure.model import Azure, Connection
from labkit.errors import InvalidInput
from labkit.names import is_valid


class _OfAuthorization(Change):
    """A change of a circuit's authorization."""

    __slots__ = ()
    kind: ClassVar[str] = "circuit"
    circuit: str
    authorization: str

    @property
    def subject(self) -> str:
        """See `Change`."""
        return self.circuit

    @property
    def part(self) -> str:
        """See `Change`."""
        return self.authorization


@dataclass(frozen=True, slots=True)
class CreateAuthorization(_OfAuthorization):
    """Create an authorization, which lets another subscription's gateway connect to the circuit.

    That is `az network express-route auth create` [circuit-authorization].
    """

    circuit: str
    authorization: str

    def apply(self, azure: Azure) -> Azure:
        """See `Change`."""
        there = _authorizations(azure, self.circuit)
        if not is_valid(self.authorization):
            raise InvalidInput(
                f'"{self.authorization}" is not a valid name of an authorization.',
                "Use letters, digits, hyphens, underscores and full stops.",
            )
        if self.authorization in there:
            raise InvalidInput(
                f"circuit {self.circuit} already has an authorization {self.authorization}.",
                "List them: labkit circuit auth list",
            )
        return _with(azure, self.circuit, (*there, self.authorization))

    def describe(self, azure: Azure) -> str:  # noqa: ARG002 - the same in every model
        """See `Change`."""
        return f"authorization {self.authorization} created"


@dataclass(frozen=True, slots=True)
class DeleteAuthorization(_OfAuthorization):
    """Delete an authorization, and the connection that has redeemed it (`az network express-route auth delete`)."""

    never_refused: ClassVar[bool] = True
    circuit: str
    authorization: str

    def apply(self, azure: Azure) -> Azure:
        """See `Change`."""
        there = _authorizations(azure, self.circuit)
        named(f"authorization of {self.circuit}", self.authorization, there, _remedy)
        gone = redeemed_by(azure, self.circuit, self.authorization)
        left = tuple(connection for connection in azure.connections if connection != gone)
        return _with(
            replace(azure, connections=left), self.circuit, tuple(name for name in there if name != self.authorization)
        )

    def describe(self, azure: Azure) -> str:
        """See `Change`."""
        named(f"authorization of {self.circuit}", self.authorization, _authorizations(azure, self.circuit), _remedy)
        gone = redeemed_by(azure, self.circuit, self.authorization)
        connection = f", and connection {gone.name} with it" if gone is not None else ""
        return f"authorization {self.authorization} deleted{connection}"


def redeemed_by(azure: Azure, circuit: str, authorization: str) -> Connection | None:
    """The connection that has redeemed a circuit's authorization; None while it is available."""
    return next((c for c in azure.connections if (c.remote, c.authorization) == (circuit, authorization)), None)


def _remedy(known: str) -> str:
    return f"It has: {known}."


def _authorizations(azure: Azure, circuit: str) -> tuple[str, ...]:
    named("circuit", circuit, azure.circuit)
    return azure.circuit[circuit].authorizations


def _with(azure: Azure, circuit: str, authorizations: tuple[str, ...]) -> Azure:
    circuits = (replace(c, authorizations=authorizations) if c.name == circuit else c for c in azure.circuits)
    return replace(azure, circuits=tuple(circuits))
