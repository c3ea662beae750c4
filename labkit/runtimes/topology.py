"""Reading a containerlab topology file: the subset that the sandbox supports, and a clear word on anything else."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from labkit.runtimes.topology_yaml import Problems, Value, load

NAME_LABEL = "labkit-name"
"""The label of a node whose name is another than its handle, by which the topology calls it."""

DEFAULT_MTU = 9500
"""The MTU of links that name none, as in containerlab."""

_TOP = ("name", "mgmt", "topology")
_MGMT = ("skip-when-unused",)
_TOPOLOGY = ("defaults", "kinds", "groups", "nodes", "links")
_NODE = (
    "kind", "group", "image", "binds", "env", "exec", "sysctls", "cap-add", "cmd", "entrypoint", "healthcheck",
    "labels", "network-mode", "privileged", "restart-policy",
)  # fmt: skip
_HEALTHCHECK = ("test", "start-period", "interval", "timeout", "retries")
_BRIEF_LINK = ("endpoints", "mtu")
_LINK = ("type", "endpoints", "mtu")
_ENDPOINT = ("node", "interface", "mac")

_LAB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_NODE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\Z")
_INTERFACE = re.compile(r"[^\s/:]{1,15}\Z")
_MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}\Z")
_CAPABILITY = re.compile(r"[A-Z_]+\Z")


@dataclass(frozen=True, slots=True)
class Bind:
    """The absolute path `source` outside appears at the absolute path `target` in the node."""

    source: Path
    target: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Healthcheck:
    """Docker's healthcheck, with its defaults; times in seconds."""

    test: tuple[str, ...]
    start_period: float = 0
    interval: float = 30
    timeout: float = 30
    retries: int = 3


@dataclass(frozen=True, slots=True)
class Node:
    """A node with everything that it inherits. `argv` is entrypoint and cmd; empty if the topology has neither.

    `privileged` is False where the topology has it so, and None where it is omitted: containerlab would then give all
    privileges. `isolated` nodes have `network-mode: none`; containerlab would connect others to a management network.
    """

    name: str
    image: str
    argv: tuple[str, ...] = ()
    binds: tuple[Bind, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    exec: tuple[tuple[str, ...], ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    cap_add: tuple[str, ...] = ()
    healthcheck: Healthcheck | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    privileged: bool | None = None
    isolated: bool = False
    line: int = 0

    @property
    def title(self) -> str:
        """The name by which people know it."""
        return self.labels.get(NAME_LABEL, self.name)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of a link. A MAC that the file does not give is hashed from lab, node and interface."""

    node: str
    interface: str
    mac: str


@dataclass(frozen=True, slots=True)
class Link:
    """A veth link."""

    a: Endpoint
    b: Endpoint
    mtu: int


@dataclass(frozen=True, slots=True)
class Topology:
    """A topology file. `management`: whether containerlab makes a management network for it, on the host."""

    file: Path
    name: str
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    management: bool = False


def read(file: Path) -> Topology:
    """Read a topology file. Raises InvalidInput that names every mistake with its line."""
    problems = Problems(file)
    found = _TopologyReader(file, problems).topology(load(file, problems))
    problems.raise_any()
    assert found
    return found


class _TopologyReader:
    def __init__(self, file: Path, problems: Problems) -> None:
        self._file = file
        self._problems = problems

    def topology(self, top: Value | None) -> Topology | None:
        if top is None:
            return None
        keys = self._keys(top, _TOP, "a topology file")
        name = self._text(keys.get("name"), top, "name")
        if name and not _LAB_NAME.match(name):
            self._problems.add(keys["name"], f"lab name {name!r}: use letters, digits, hyphens, dots and underscores.")
        # The sandbox has no management network, whatever the topology has.
        skipped = self._keys(keys.get("mgmt"), _MGMT, "`mgmt`").get("skip-when-unused")
        inner = keys.get("topology")
        if inner is None:
            self._problems.add(top, "key `topology` is missing.")
            return None
        parts = self._keys(inner, _TOPOLOGY, "`topology`")
        defaults = self._node_keys(parts.get("defaults"), "defaults")
        kinds = self._groups(parts.get("kinds"), "kind")
        groups = self._groups(parts.get("groups"), "group")
        nodes = []
        if "nodes" not in parts:
            self._problems.add(inner, "key `nodes` is missing.")
        for node_name, value in self._mapping(parts.get("nodes"), "nodes").items():
            nodes.append(self._node(node_name, value, defaults, kinds, groups))
        links = self._links(parts.get("links"), name, {node.name: node for node in nodes})
        management = skipped is None or skipped.content is not True or not all(node.isolated for node in nodes)
        return Topology(self._file, name, tuple(nodes), tuple(links), management)

    # --- nodes

    def _groups(self, value: Value | None, what: str) -> dict[str, dict[str, Value]]:
        found = {}
        for name, each in self._mapping(value, f"{what}s").items():
            if what == "kind" and name != "linux":
                self._kind(each, name)
            found[name] = self._node_keys(each, f"{what} {name}")
        return found

    def _kind(self, at: Value, kind: str) -> None:
        self._problems.add(at, f"kind `{kind}` is not supported by the sandbox. Supported: `linux`.")

    def _node_keys(self, value: Value | None, what: str) -> dict[str, Value]:
        return self._keys(value, _NODE, what) if value is not None and value.content is not None else {}

    def _node(
        self,
        name: str,
        value: Value,
        defaults: dict[str, Value],
        kinds: dict[str, dict[str, Value]],
        groups: dict[str, dict[str, Value]],
    ) -> Node:
        if not _NODE_NAME.match(name) or len(name) > 63:
            self._problems.add(value, f"node name {name!r} is not a host name: use letters, digits and hyphens.")
        own = self._node_keys(value, f"node {name}")
        group_value = own.get("group") or defaults.get("group")
        group_name = self._text(group_value, value, "group") if group_value else ""
        group = groups.get(group_name, {})
        if group_name and group_name not in groups:
            self._problems.add(group_value or value, f"node {name}: there is no group {group_name!r}.")
        kind_value = own.get("kind") or group.get("kind") or defaults.get("kind")
        if kind_value is None:
            self._problems.add(value, f"node {name}: key `kind` is missing. Write `kind: linux`.")
        kind = self._text(kind_value, value, "kind") if kind_value else "linux"
        if kind_value and kind != "linux":
            self._kind(kind_value, kind)
        chain = [defaults, kinds.get(kind, {}), group, own]  # the later wins
        nearest = {key: found for keys in chain for key, found in keys.items()}
        if "image" not in nearest:
            self._problems.add(value, f"node {name}: key `image` is missing.")
        argv = self._words(nearest.get("entrypoint")) + self._words(nearest.get("cmd"))
        mode = nearest.get("network-mode")
        if mode and self._text(mode, value, "network-mode") != "none":
            self._problems.add(
                mode, f"network-mode `{mode.content}` is not supported by the sandbox. Supported: `none`."
            )
        restart = nearest.get("restart-policy")
        if restart and self._text(restart, value, "restart-policy") != "no":
            self._problems.add(
                restart, f"restart-policy `{restart.text}` is not supported by the sandbox. Supported: `no`."
            )
        privileged = nearest.get("privileged")
        if privileged and privileged.content is not False:
            self._problems.add(
                privileged, "`privileged` must be false in the sandbox; name what is needed in `cap-add`."
            )
        binds: dict[str, Bind] = {}
        for keys in chain:
            for each in self._list(keys.get("binds"), "binds"):
                bind = self._bind(each)
                if bind:
                    binds[bind.target] = bind
        return Node(
            name=name,
            image=self._text(nearest.get("image"), value, "image") if "image" in nearest else "",
            argv=tuple(argv),
            binds=tuple(binds.values()),
            env=self._merged(chain, "env"),
            exec=tuple(
                tuple(words) for keys in chain for each in self._list(keys.get("exec"), "exec")
                if (words := self._words(each))
            ),
            sysctls=self._merged(chain, "sysctls"),
            cap_add=tuple(dict.fromkeys(
                capability for keys in chain for each in self._list(keys.get("cap-add"), "cap-add")
                if (capability := self._capability(each))
            )),
            healthcheck=self._healthcheck(nearest.get("healthcheck")),
            labels=self._merged(chain, "labels"),
            privileged=False if privileged else None,
            isolated=mode is not None,
            line=value.line,
        )  # fmt: skip

    def _merged(self, chain: list[dict[str, Value]], key: str) -> dict[str, str]:
        return {
            name: self._text(value, value, f"{key} {name}")
            for keys in chain
            for name, value in self._mapping(keys.get(key), key).items()
        }

    def _bind(self, value: Value) -> Bind | None:
        text = self._text(value, value, "binds")
        source, _, rest = text.partition(":")
        target, _, options = rest.partition(":")
        if not source or not target.startswith("/"):
            self._problems.add(value, f"bind {text!r}: write source:/absolute/target or source:/absolute/target:ro.")
            return None
        unknown = [option for option in options.split(",") if option not in ("", "ro", "rw")]
        if unknown:
            self._problems.add(value, f"bind option `{unknown[0]}` is not supported by the sandbox. Supported: ro, rw.")
        path = Path(source).expanduser()
        return Bind(self._file.resolve().parent / path, target, "ro" in options.split(","))

    def _capability(self, value: Value) -> str:
        text = self._text(value, value, "cap-add").upper().removeprefix("CAP_")
        if not _CAPABILITY.match(text):
            self._problems.add(value, f"`{text}` is not a capability, such as NET_ADMIN.")
        return text

    def _healthcheck(self, value: Value | None) -> Healthcheck | None:
        if value is None:
            return None
        keys = self._keys(value, _HEALTHCHECK, "`healthcheck`")
        test = tuple(self._text(each, each, "test") for each in self._list(keys.get("test"), "test"))
        if len(test) < 2 or test[0] not in ("CMD", "CMD-SHELL"):
            self._problems.add(value, "healthcheck `test` must be a list that begins with CMD or CMD-SHELL.")
        default = Healthcheck(test)
        return Healthcheck(
            test=test,
            start_period=self._number(keys.get("start-period"), default.start_period),
            # As in Docker, 0 means the default.
            interval=self._number(keys.get("interval"), default.interval) or default.interval,
            timeout=self._number(keys.get("timeout"), default.timeout) or default.timeout,
            retries=int(self._number(keys.get("retries"), default.retries)) or default.retries,
        )

    # --- links

    def _links(self, value: Value | None, lab: str, nodes: Mapping[str, Node]) -> list[Link]:
        used: dict[tuple[str, str], int] = {}
        found = []
        for each in self._list(value, "links"):
            ends = self._ends(each, lab)
            for end in ends:
                if end.node not in nodes:
                    self._problems.add(
                        each, f"link endpoint {end.node}:{end.interface}: there is no node {end.node!r}."
                    )
                if not _INTERFACE.match(end.interface) or end.interface in ("lo", ".", ".."):
                    self._problems.add(
                        each, f"{end.interface!r} can't be an interface's name (1 to 15 characters, not lo)."
                    )
                if not _MAC.match(end.mac) or int(end.mac[:2], 16) & 1:
                    self._problems.add(each, f"{end.mac!r} is not an interface's MAC address.")
                before = used.setdefault((end.node, end.interface), each.line)
                if before != each.line or (len(ends) == 2 and ends[0] == ends[1]):
                    self._problems.add(
                        each, f"{end.node}:{end.interface} is an end of another link already, line {before}."
                    )
            if len(ends) == 2:
                keys = each.content if isinstance(each.content, dict) else {}
                mtu = int(self._number(keys.get("mtu"), DEFAULT_MTU)) or DEFAULT_MTU
                if not 68 <= mtu <= 65535:
                    self._problems.add(keys.get("mtu", each), f"mtu {mtu} is not between 68 and 65535.")
                found.append(Link(ends[0], ends[1], mtu))
        return found

    def _ends(self, link: Value, lab: str) -> list[Endpoint]:
        extended = isinstance(link.content, dict) and "type" in link.content
        keys = self._keys(link, _LINK if extended else _BRIEF_LINK, "a link")
        if extended and keys["type"].content != "veth":
            text = f"link type `{keys['type'].content}` is not supported by the sandbox. Supported: `veth`."
            self._problems.add(keys["type"], text)
            return []
        ends = []
        for each in self._list(keys.get("endpoints"), "endpoints"):
            if extended:
                parts = self._keys(each, _ENDPOINT, "a veth endpoint")
                node = self._text(parts.get("node"), each, "node")
                interface = self._text(parts.get("interface"), each, "interface")
                mac = self._text(parts["mac"], each, "mac").lower() if "mac" in parts else ""
            else:
                node, _, interface = self._text(each, each, "endpoints").partition(":")
                mac = ""
            ends.append(Endpoint(node, interface, mac or _mac(lab, node, interface)))
        if len(ends) != 2:
            self._problems.add(link, "a link must have exactly two endpoints.")
        return ends

    # --- values

    def _keys(self, value: Value | None, supported: tuple[str, ...], what: str) -> dict[str, Value]:
        found = self._mapping(value, what)
        for key, each in found.items():
            if key not in supported:
                self._problems.add(
                    each, f"key `{key}` of {what} is not supported by the sandbox. Supported: {', '.join(supported)}."
                )
        return found

    def _mapping(self, value: Value | None, what: str) -> dict[str, Value]:
        if value is None or value.content is None:
            return {}
        if isinstance(value.content, dict):
            return value.content
        self._problems.add(value, f"{what} must be a mapping (`key: value` lines).")
        return {}

    def _list(self, value: Value | None, what: str) -> list[Value]:
        if value is None or value.content is None:
            return []
        if isinstance(value.content, list):
            return value.content
        self._problems.add(value, f"{what} must be a list.")
        return []

    def _text(self, value: Value | None, parent: Value, what: str) -> str:
        if value is None or value.content is None:
            if value is None:
                self._problems.add(parent, f"key `{what}` is missing.")
            return ""
        if isinstance(value.content, dict | list):
            self._problems.add(value, f"{what} must be a single value.")
            return ""
        text = value.text
        if "__clab" in text or "${" in text:
            self._problems.add(value, f"{what}: variables ({text}) are not supported by the sandbox. Write the value.")
        return text

    def _words(self, value: Value | None) -> list[str]:
        if value is None or value.content is None:
            return []
        text = self._text(value, value, "a command")
        try:
            return shlex.split(text)
        except ValueError as error:
            self._problems.add(value, f"command {text!r}: {error}.")
            return []

    def _number(self, value: Value | None, default: float) -> float:
        if value is None:
            return default
        if isinstance(value.content, int | float) and not isinstance(value.content, bool) and value.content >= 0:
            return value.content
        self._problems.add(value, f"{value.text!r} must be a number, zero or more.")
        return default


def _mac(lab: str, node: str, interface: str) -> str:
    """A MAC in containerlab's own range, the same at every deployment."""
    digest = hashlib.sha256(f"{lab}/{node}/{interface}".encode()).digest()
    return "aa:c1:ab:" + ":".join(f"{byte:02x}" for byte in digest[:3])
