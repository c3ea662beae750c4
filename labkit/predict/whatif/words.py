"""The words of `labkit whatif` as changes. Pure.

Every change begins with its keyword, with two dashes before it or without; what follows are its words. So several
changes stand one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from ipaddress import IPv4Network

from labkit.azure.model import Azure, HubRoutingPreference
from labkit.errors import InvalidInput
from labkit.lab.file.problems import nearest
from labkit.lab.route_table import must_be_a_route_table, parse_route_table
from labkit.predict.whatif.changes import (
    FLAGS,
    AddressSpace,
    BranchToBranch,
    Change,
    NoPeer,
    NoPeering,
    NoServer,
    PeeringFlag,
    Preference,
    Prepend,
    Propagation,
    Route,
)

FORMS = {
    "branch-to-branch": "branch-to-branch on|off [SERVER]",
    "hub-routing-preference": f"hub-routing-preference {'|'.join(HubRoutingPreference)} [SERVER]",
    "prepend": "prepend NVA TIMES",
    "route": "route TABLE PREFIX NEXT-HOP|remove",
    "propagation": "propagation TABLE on|off",
    "peering": f"peering SIDE OTHER {'|'.join(FLAGS)} [SIDE] on|off",
    "address-space": "address-space VNET PREFIX [PREFIX ...]",
    "delete-peering": "delete-peering SIDE OTHER",
    "delete-peer": "delete-peer SERVER PEER",
    "delete-route-server": "delete-route-server [SERVER]",
}
"""Every change by its keyword, as it is written."""

REMOVE = "remove"


def changes(words: Sequence[str], azure: Azure) -> list[Change]:
    """The changes that the words say, in order.

    Raises:
        InvalidInput: they are no changes, or of something that the model does not have.
    """
    each = [word for said in words for word in said.split()]  # in quotes or without
    if not each:
        raise InvalidInput("nothing to try.", _forms())
    return [_PARSERS[keyword](_Words(keyword, rest, azure)) for keyword, rest in _cut(each)]


def _cut(words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """The words of each change, behind its keyword. A word in the place of a keyword must be one."""
    keyword, rest = "", list[str]()
    for word in words:
        bare = word.removeprefix("--").casefold()
        # An object may be called like a keyword: one that still waits for words gets it.
        if bare in FORMS and (word.startswith("--") or not keyword or len(rest) >= _LEAST[keyword]):
            if keyword:
                yield keyword, rest
            keyword, rest = bare, []
        elif not keyword or word.startswith("--"):
            near = next((known for known in FORMS if known.startswith(bare)), nearest(bare, FORMS))
            raise InvalidInput(f"{word} is no change.", f"Did you mean {FORMS[near]}?" if near else _forms())
        else:
            rest.append(word)
    yield keyword, rest


class _Words:
    """The words of one change, taken one after the other."""

    def __init__(self, keyword: str, words: list[str], azure: Azure) -> None:
        self.azure = azure
        self._keyword, self._words = keyword, words

    def take(self, what: str) -> str:
        """The next word."""
        if not self._words:
            raise self.wrong(f"{what} is missing.")
        return self._words.pop(0)

    def switch(self) -> bool:
        """The next word, which is on or off."""
        word = self.take("on or off")
        if word.casefold() not in ("on", "off"):
            raise self.wrong(f"{word} is neither on nor off.")
        return word.casefold() == "on"

    def one_of(self, known: Collection[str], what: str) -> str:
        """The next word, which is one of these whatever its case."""
        word = self.take(what)
        for each in known:
            if each.casefold() == word.casefold():
                return each
        raise self.wrong(f"{word} is no {what}.")

    def server(self) -> str:
        """The next word, which names a route server; without one the only route server there is."""
        names = list(self.azure.route_server)
        if self._words:
            return self._words.pop(0)
        if not names:
            raise InvalidInput("this lab has no route server.", "`labkit status` shows what it has.")
        if len(names) > 1:
            raise self.wrong(f"{len(names)} route servers: {', '.join(names)}. Say which.")
        return names[0]

    def side(self, one: str, two: str) -> str:
        """The next word, if it is one of these two; else the first of them, and the word stays."""
        return self._words.pop(0) if self._words and self._words[0] in (one, two) else one

    @property
    def more(self) -> bool:
        """Whether words are left."""
        return bool(self._words)

    def range(self) -> IPv4Network:
        """The next word, which is an address range."""
        word = self.take("a range")
        try:
            return IPv4Network(word)
        except ValueError:
            raise self.wrong(f"{word} is no address range.") from None

    def end(self) -> None:
        """No word is left."""
        if self._words:
            raise self.wrong(f"{self._words[0]} is one word too many.")

    def wrong(self, why: str) -> InvalidInput:
        """The error for these words."""
        return InvalidInput(f"{self._keyword}: {why}", f"Write: {FORMS[self._keyword]}")


def _branch_to_branch(words: _Words) -> Change:
    on, server = words.switch(), words.server()
    words.end()
    return BranchToBranch(server, on)


def _preference(words: _Words) -> Change:
    value = HubRoutingPreference(words.one_of(list(HubRoutingPreference), "hub routing preference"))
    server = words.server()
    words.end()
    return Preference(server, value)


def _prepend(words: _Words) -> Change:
    peer, times = words.take("the NVA"), words.take("how many times")
    words.end()
    try:
        count = int(times)
    except ValueError:
        raise words.wrong(f"{times} is no number.") from None
    if not 0 < abs(count) <= MOST_PREPENDS:
        raise words.wrong(f"{times} is not between 1 and {MOST_PREPENDS} (or -{MOST_PREPENDS} and -1).")
    return Prepend(peer, count)


def _route(words: _Words) -> Change:
    table, prefix, hop = words.take("the route table"), words.take("the prefix"), words.take("the next hop")
    words.end()
    removes = hop.casefold() == REMOVE
    must_be_a_route_table(table, words.azure)
    parsed = parse_route_table(table, {"routes": {prefix: "None" if removes else hop}}, words.azure)
    route = parsed.routes[0]
    return Route(table, IPv4Network(route.prefix), None if removes else route)


def _propagation(words: _Words) -> Change:
    table, on = words.take("the route table"), words.switch()
    words.end()
    return Propagation(table, on)


def _peering(words: _Words) -> Change:
    one, two = words.take("the virtual network whose side it is"), words.take("the other virtual network")
    flag = words.one_of(FLAGS, "flag of a peering")
    side = words.side(one, two)
    one, two = (one, two) if side == one else (two, one)
    on = words.switch()
    words.end()
    return PeeringFlag(one, two, flag, on)


def _address_space(words: _Words) -> Change:
    network, ranges = words.take("the virtual network"), [words.range()]
    while words.more:
        ranges.append(words.range())
    return AddressSpace(network, tuple(dict.fromkeys(ranges)))


def _delete_peering(words: _Words) -> Change:
    one, two = words.take("the virtual network whose side it is"), words.take("the other virtual network")
    words.end()
    return NoPeering(one, two)


def _delete_peer(words: _Words) -> Change:
    server, peer = words.take("the route server"), words.take("the peer")
    words.end()
    return NoPeer(server, peer)


def _delete_server(words: _Words) -> Change:
    server = words.server()
    words.end()
    return NoServer(server)


MOST_PREPENDS = 20

_PARSERS: Mapping[str, Callable[[_Words], Change]] = {
    "branch-to-branch": _branch_to_branch,
    "hub-routing-preference": _preference,
    "prepend": _prepend,
    "route": _route,
    "propagation": _propagation,
    "peering": _peering,
    "address-space": _address_space,
    "delete-peering": _delete_peering,
    "delete-peer": _delete_peer,
    "delete-route-server": _delete_server,
}

_LEAST = {
    "branch-to-branch": 1,
    "hub-routing-preference": 1,
    "prepend": 2,
    "route": 3,
    "propagation": 2,
    "peering": 4,
    "address-space": 2,
    "delete-peering": 2,
    "delete-peer": 2,
    "delete-route-server": 0,
}
"""The words that a change needs at least."""


def _forms() -> str:
    return "A change is:\n" + "\n".join(FORMS.values())
