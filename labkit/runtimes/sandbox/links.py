"""The links of a sandbox: veth pairs made directly in the nodes' network namespaces."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence

from labkit.runtimes.sandbox import netlink
from labkit.runtimes.sandbox.messages import SandboxError
from labkit.runtimes.sandbox.node import RunningNode, environment_error
from labkit.runtimes.sandbox.spec import End, Link


def create(links: Sequence[Link], nodes: Mapping[str, RunningNode]) -> SandboxError | None:
    """Create the links, up. The nodes' namespaces exist; their interfaces' indexes are noted."""
    if not links:
        return None
    with netlink.Netlink() as here:
        try:
            here.send([netlink.veth(_end(link.a, nodes), _end(link.b, nodes), link.mtu) for link in links])
        except netlink.MessageFailed as error:
            link = links[error.position]
            return _error(link, error)
    for name in {end.node for link in links for end in (link.a, link.b)}:
        _note_and_up(nodes[name], _names(nodes[name], links))
    return None


def _end(end: End, nodes: Mapping[str, RunningNode]) -> tuple[str, str, int]:
    return end.interface, end.mac, nodes[end.node].namespace


def _error(link: Link, error: OSError) -> SandboxError:
    ends = f"{link.a.node}:{link.a.interface} - {link.b.node}:{link.b.interface}"
    if error.errno == errno.EEXIST:
        return environment_error(
            f"link {ends}: an interface of that name exists already.",
            "Give the interface another name in the topology, or make the node not create it itself.",
        )
    if error.errno == errno.EOPNOTSUPP:
        return environment_error(f"link {ends}: this kernel has no veth.", "Load the module veth (`modprobe veth`).")
    return environment_error(f"link {ends}: {error.strerror}.", "`labkit doctor` shows what this machine lacks.")


def _note_and_up(node: RunningNode, names: Sequence[str]) -> None:
    with netlink.Netlink(node.namespace) as there:
        node.interfaces = {name: index for name, index in there.links().items() if name != "lo"}
        there.send([netlink.link_state(node.interfaces[name], up=True) for name in names])


def down(node: RunningNode, links: Sequence[Link]) -> None:
    """Set the node's ends of its links down, as when its power fails: nothing it sends any more arrives anywhere.

    The first link goes last. A gateway has the address of its NIC on others too, and its BGP daemon ends the sessions
    from an address when the first interface with it goes: no other link must carry that NOTIFICATION.
    """
    with netlink.Netlink(node.namespace) as there:
        living = set(there.links().values())
        mine = [node.interfaces[name] for name in _names(node, links) if name in node.interfaces]
        there.send([netlink.link_state(index, up=False) for index in reversed(mine) if index in living])


def rewire(
    node: RunningNode, parked: int, links: Sequence[Link], nodes: Mapping[str, RunningNode]
) -> SandboxError | None:
    """Move the node's links from its former network namespace into its new one and set them up.

    A link that the node had deleted is created again. `parked` is the former namespace's descriptor.
    """
    moved = transfer(node, parked, links)
    lost = [
        link
        for link in links
        if any(end.node == node.spec.name and end.interface not in moved for end in (link.a, link.b))
    ]
    return create(lost, nodes)


def transfer(node: RunningNode, parked: int, links: Sequence[Link]) -> list[str]:
    """Move the node's links from its former network namespace into its new one and set them up; returns their names.

    `parked` is the former namespace's descriptor, or less than zero if there was none.
    """
    moved: list[str] = []
    if parked >= 0:
        with netlink.Netlink(parked) as before:
            living = set(before.links().values())
            for name in _names(node, links):
                index = node.interfaces.get(name, -1)
                if index in living:
                    before.send([netlink.move(index, name, node.namespace)])
                    moved.append(name)
    _note_and_up(node, moved)
    return moved


def missing(links: Sequence[Link], nodes: Mapping[str, RunningNode]) -> list[Link]:
    """The links of which there is nothing in the nodes' namespaces."""
    there = {name: _interfaces(node) for name, node in nodes.items()}
    return [link for link in links if any(end.interface not in there[end.node] for end in (link.a, link.b))]


def delete(links: Sequence[Link], nodes: Mapping[str, RunningNode]) -> None:
    """Delete links, as far as they are there."""
    for link in links:
        node = nodes.get(link.a.node)
        index = _interfaces(node).get(link.a.interface) if node is not None else None
        if node is not None and index is not None:
            with netlink.Netlink(node.namespace) as there:
                there.send([netlink.delete(index)])


def _interfaces(node: RunningNode) -> dict[str, int]:
    """The node's interfaces and their indexes; none of one that has no network namespace yet."""
    if node.namespace < 0:
        return {}
    with netlink.Netlink(node.namespace) as there:
        return there.links()


def _names(node: RunningNode, links: Sequence[Link]) -> list[str]:
    return [end.interface for link in links for end in (link.a, link.b) if end.node == node.spec.name]


def open_namespace(node: RunningNode) -> int:
    """A descriptor of the node's network namespace."""
    return os.open(f"/proc/{node.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
