"""The vtysh commands that change an FRR while it runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network

from labkit.daemons.protocol import Command


def vtysh(*lines: str) -> Command:
    """The command that has FRR carry out these lines one after the other."""
    return ("vtysh", *(word for line in lines for word in ("-c", line)))


def configure(*lines: str) -> Command:
    """The command that has FRR carry out these lines of a configuration."""
    return vtysh("configure terminal", *lines)


def advertise(asn: int, prefixes: Iterable[IPv4Network]) -> Command:
    """Originate prefixes."""
    return configure(*_family(asn, (f"network {prefix}" for prefix in prefixes)))


def withdraw(asn: int, prefixes: Iterable[IPv4Network]) -> Command:
    """Originate prefixes no longer."""
    return configure(*_family(asn, (f"no network {prefix}" for prefix in prefixes)))


def shut_down(asn: int, neighbours: Iterable[IPv4Address]) -> Command:
    """End sessions, with an administrative shutdown (RFC 4486)."""
    return configure(f"router bgp {asn}", *(f"neighbor {address} shutdown" for address in neighbours))


def start(asn: int, neighbours: Iterable[IPv4Address]) -> Command:
    """Let sessions that were shut down be set up again."""
    return configure(f"router bgp {asn}", *(f"no neighbor {address} shutdown" for address in neighbours))


def changed_by_hand() -> Command:
    """Print as JSON the statements that were added to the running configuration, and removed from it, by hand."""
    return ("/opt/labkit/lib/by-hand", "frr")


def refresh(neighbour: IPv4Address | None = None) -> Command:
    """Send and ask for all routes again (RFC 2918), with one neighbour or, for None, all of them."""
    return vtysh(f"clear bgp ipv4 unicast {neighbour or '*'} soft")


def _family(asn: int, lines: Iterable[str]) -> Iterator[str]:
    yield from (f"router bgp {asn}", "address-family ipv4 unicast", *lines)
