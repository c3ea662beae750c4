"""The bridge under a fabric: its ports and its static forwarding database."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

from labkit.errors import EnvironmentProblem
from labkit.fabric.iproute import batch, query, run
from labkit.fabric.links import interfaces
from labkit.fabric.prober import PROBE_SOURCE
from labkit.fabric.state import Fabric
from labkit.feed.switch import PeeringPort

BRIDGE = "br0"

# What the topology must have set as defaults before the bridge was made: /proc/sys is read-only here.
_SYSCTLS = {"proxy_arp_pvlan": "1", "forwarding": "1", "rp_filter": "0"}
_CONF = Path("/proc/sys/net/ipv4/conf")

_NEW = f"link add {BRIDGE} type bridge stp_state 0 mcast_snooping 0 forward_delay 0"

_log = logging.getLogger("labkit.fabric")


class Bridge:
    """Bridge `br0` as it is in the kernel. It is adopted if it exists, and made if not.

    Ports neither learn nor flood: every frame goes where the forwarding database has it, or nowhere. Links that were
    taken down or out of the bridge after they were attached stay so: that is somebody's experiment.
    """

    def __init__(self, mac: str) -> None:
        """Make or adopt the bridge.

        Args:
            mac: its MAC address, with which it answers every ARP question.

        Raises:
            KernelRefused: the kernel refused.
            EnvironmentProblem: the node's sysctls are not what proxy ARP needs.
        """
        self.mac = mac
        known = interfaces()
        self._attached: dict[str, tuple[int, bool]] = {}
        self._database: dict[str, str] = {}
        self._strangers: dict[str, int] = {}
        self._probed: frozenset[tuple[str, str, int]] = frozenset()
        if BRIDGE in known:
            ports = query("ip", "-j", "link", "show", "master", BRIDGE) or []
            self._strangers = {port["ifname"]: port["ifindex"] for port in ports}
            entries = query("bridge", "-j", "fdb", "show", "br", BRIDGE) or []
            self._database = {e["mac"]: e["ifname"] for e in entries if e.get("state") == "static"}
        batch("ip", [*([] if BRIDGE in known else [_NEW]), *_settings(mac)])
        _guard(mac, self._probed)
        _check_sysctls()

    def forget(self, indices: frozenset[int]) -> None:
        """Interfaces went away, and with them their places in the bridge and its database."""
        lost = {name for name, (index, _) in self._attached.items() if index in indices}
        lost |= {name for name, index in self._strangers.items() if index in indices}
        self._attached = {name: port for name, port in self._attached.items() if name not in lost}
        self._strangers = {name: index for name, index in self._strangers.items() if name not in lost}
        self._database = {mac: name for mac, name in self._database.items() if name not in lost}

    def release(self, fabric: Fabric, present: Mapping[str, int]) -> None:
        """Take ports out of the bridge that the fabric has no more. Their filters may go after that, not before.

        Raises:
            KernelRefused: the kernel refused; call again.
        """
        former = {name: index for name, (index, _) in self._attached.items()} | self._strangers
        leaving = [name for name, index in former.items() if name not in fabric.ports and present.get(name) == index]
        batch("ip", [f"link set dev {name} nomaster" for name in leaving])
        self.forget(frozenset(former[name] for name in former if name not in fabric.ports))

    def attach(self, fabric: Fabric, present: Mapping[str, int]) -> None:
        """Make interfaces that are new ports of the bridge, and make the forwarding database the fabric's.

        Raises:
            KernelRefused: the kernel refused; call again.
        """
        wanted = {
            name: (present[name], isinstance(port, PeeringPort))
            for name, port in fabric.ports.items()
            if name in present
        }
        fresh = {name: port for name, port in wanted.items() if self._attached.get(name) != port}
        batch("ip", (line for name, (_, isolated) in fresh.items() for line in _port(name, isolated)))
        self._attached |= fresh
        for name in fresh:
            self._strangers.pop(name, None)
            _log.info("port %s attached", name)
        database = {mac: name for mac, name in fabric.forwarding.items() if name in wanted}
        batch("bridge", _entries(self._database, database))
        self._database = database

    def let_probe(self, fabric: Fabric) -> None:
        """Let this namespace reach, from the address of probes, the ports of backends that it probes; nothing else.

        Raises:
            KernelRefused: the kernel refused; call again.
        """
        probed = frozenset(
            (address, fabric.nics[address], balancer.probe.port)
            for balancer in fabric.load_balancers.values()
            for address in balancer.backends.values()
            if balancer.probe is not None and address in fabric.nics
        )
        if probed == self._probed:
            return
        # The bridge asks nobody by ARP: its questions would go nowhere, as all that is flooded.
        neighbours = {f"neigh replace {a} lladdr {mac} dev {BRIDGE} nud permanent" for a, mac, _ in probed}
        batch("ip", [f"address replace {PROBE_SOURCE}/32 dev {BRIDGE}", *sorted(neighbours)])
        _guard(self.mac, probed)
        self._probed = probed


def _settings(mac: str) -> Iterator[str]:
    yield f"link set dev {BRIDGE} address {mac} addrgenmode none up"
    # Proxy ARP answers for what is routed to where the question came from: everything.
    yield f"route replace default dev {BRIDGE}"
    # The default delay is random, up to 0.8 s.
    yield f"ntable change name arp_cache dev {BRIDGE} proxy_delay 0"


def _guard(mac: str, probed: Set[tuple[str, str, int]]) -> None:
    # Proxy ARP needs forwarding on, but this namespace must never forward a packet itself, nor send one but its probes.
    # What the bridge forwards is not addressed to it, so this holds where br_netfilter shows bridged packets to this
    # hook, too.
    targets = ", ".join(sorted(f"{address} . {port}" for address, _, port in probed))
    lines = [
        "add table inet labkit",
        "delete table inet labkit",
        "table inet labkit {",
        "chain forward {",
        "type filter hook forward priority 0; policy accept;",
        f"ether daddr {{ {mac}, ff:ff:ff:ff:ff:ff }} drop",
        "}",
        "chain output {",
        "type filter hook output priority 0; policy drop;",
        *([f"ip saddr {PROBE_SOURCE} ip daddr . tcp dport {{ {targets} }} accept"] if targets else []),
        "}",
        "}",
    ]
    run(["nft", "-f", "-"], lines)


def _check_sysctls() -> None:
    wrong = []
    for key, value in _SYSCTLS.items():
        if (_CONF / BRIDGE / key).read_text().strip() != value:
            wrong.append(f"net.ipv4.conf.default.{key}={value}")
    if (_CONF / "all/rp_filter").read_text().strip() != "0":
        wrong.append("net.ipv4.conf.all.rp_filter=0")
    if wrong:
        raise EnvironmentProblem(
            f"the bridge cannot answer ARP: sysctls of this node are not as they must be: {', '.join(wrong)}",
            "Set them under `sysctls` of this node in the topology.",
        )


def _port(name: str, isolated: bool) -> Iterator[str]:
    isolation = "on" if isolated else "off"
    yield f"link set dev {name} addrgenmode none"
    yield f"link set dev {name} master {BRIDGE}"
    yield (
        f"link set dev {name} type bridge_slave learning off flood off mcast_flood off bcast_flood off "
        f"hairpin on isolated {isolation}"
    )
    yield f"link set dev {name} up"


def _entries(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    # Additions first: replacing an entry moves its MAC without a moment in which it is nowhere.
    for mac, name in new.items():
        if old.get(mac) != name:
            yield f"fdb replace {mac} dev {name} master static"
    for mac, name in old.items():
        if mac not in new:
            yield f"fdb del {mac} dev {name} master"
