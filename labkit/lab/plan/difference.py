"""What distinguishes two plans of a lab: what makes the running one the other, with the least disruption. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields, replace

from labkit.lab.plan.model import File, Link, Node, Plan
from labkit.names import mentions


@dataclass(frozen=True, slots=True)
class Restart:
    """A node that has to be powered off and on again, and why: a clause, such as "its bgpd.conf changes"."""

    node: Node
    reason: str


@dataclass(frozen=True, slots=True)
class PlanDifference:
    """Nodes and links that are made or go, nodes that have to be restarted, files that are loaded in nodes that run.

    `loaded` has each file with the name of its node. The links of nodes that are made or go are among the others.
    """

    made: tuple[Node, ...]
    gone: tuple[Node, ...]
    restarted: tuple[Restart, ...]
    linked: tuple[Link, ...]
    unlinked: tuple[Link, ...]
    loaded: tuple[tuple[str, File], ...]

    @property
    def involved(self) -> tuple[str, ...]:
        """The nodes that stay and have to be on meanwhile: those that restart, get a link or load a file."""
        made = {node.name for node in self.made}
        found = [each.node.name for each in self.restarted] + [name for name, _ in self.loaded]
        found += [end.node for link in self.linked for end in (link.a, link.b) if end.node not in made]
        return tuple(dict.fromkeys(found))


def difference(before: Plan, after: Plan, edited: Collection[str] = ()) -> PlanDifference:
    """What makes a running plan another one; `edited` are paths of files whose content differs though not their plan.

    A node keeps running if nothing of it differs but its links and the commands that come with them: those that are
    new, or for a new interface, are run in it, and what those did that are no more goes with its interface.
    """
    known, wanted = ({node.name: node for node in plan.nodes} for plan in (before, after))
    were, are = set(before.links), set(after.links)
    unlinked = tuple(link for link in before.links if link not in are)
    texts = {file.path: file for file in before.files}
    changed = {f.path: f for f in after.files if f.path in texts and (f.path in edited or _differs(texts[f.path], f))}
    lost = {(end.node, end.interface) for link in unlinked for end in (link.a, link.b)}
    restarted: list[Restart] = []
    loaded: list[tuple[str, File]] = []
    for name, node in wanted.items():
        files = [changed[bind.source] for bind in node.binds if bind.source in changed]
        if name in known:
            reason = _reason(known[name], node, files, {interface for owner, interface in lost if owner == name})
            if reason is not None:
                restarted.append(Restart(node, reason))
            else:
                loaded += ((name, file) for file in files)
    return PlanDifference(
        made=tuple(node for name, node in wanted.items() if name not in known),
        gone=tuple(node for name, node in known.items() if name not in wanted),
        restarted=tuple(restarted),
        linked=tuple(link for link in after.links if link not in were),
        unlinked=unlinked,
        loaded=tuple(loaded),
    )


def _differs(before: File, after: File) -> bool:
    """Whether a file is another one for more than what services follow themselves."""
    kept = [{key: value for key, value in f.context.items() if key not in after.followed} for f in (before, after)]
    return kept[0] != kept[1] or replace(before, context={}) != replace(after, context={})


def _reason(before: Node, after: Node, changed: Iterable[File], lost: Collection[str]) -> str | None:
    """Why a node can't stay on; None if it can. `lost` are its interfaces whose links are no more."""
    for field in fields(Node):
        if field.name != "exec" and getattr(before, field.name) != getattr(after, field.name):
            return f"its {_WORDS.get(field.name, field.name)} change"
    for file in changed:
        if not file.loader:
            return f"its {file.path.rpartition('/')[2]} changes"
    if any(line not in after.exec and not mentions(line, lost) for line in before.exec):
        return "its interfaces change"
    return None


_WORDS = {"env": "environment variables", "binds": "files", "cap_add": "capabilities", "cmd": "command line arguments"}


def link_title(link: Link) -> str:
    """A link by its two ends, for people."""
    return " — ".join(f"{end.node}:{end.interface}" for end in (link.a, link.b))
