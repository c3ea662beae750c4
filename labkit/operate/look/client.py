"""The operator's side of a running lab: the controller's API, over a socket that the runtime connects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from labkit.daemons.errors import NoAnswer
from labkit.daemons.protocol import Tables
from labkit.daemons.tables import Query
from labkit.errors import CheckFailed, EnvironmentProblem, InvalidInput
from labkit.feed import codec
from labkit.feed.status import LabEvent
from labkit.operate.records.record import Record
from labkit.paths import CONTROLLERS_API
from labkit.patience import waiting
from labkit.runtimes import protocol
from labkit.runtimes.select import runtime

if TYPE_CHECKING:
    from labkit.azure.changes.base import Change

M = TypeVar("M")

CONTROLLER = "controller"
_NO_ROOM = 507
"""The HTTP status of what finds no room on the disk."""

_LONGEST = 4000
"""The longest path of the API: a server reads lines of 8 KiB."""

_SECONDS = 15.0
"""How long an answer may take, in seconds."""

AT_ONCE = 8
"""Nodes that are asked side by side: who asks waits more than it computes."""


class LabClient:
    """A running lab: its nodes through its runtime, its platform through the controller's API."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.runtime: protocol.Runtime = runtime(record.runtime)

    def run(self, node: str, *argv: str, timeout: float = 30.0) -> protocol.Completed:
        """Run a command in a node and wait for it; see `Runtime.exec` for what it raises."""
        return self.runtime.exec(self.record.lab, node, argv, timeout=timeout)

    def ask(self, node: str, tables: Tables, query: Query[M]) -> M:
        """What the BGP daemon of a node answers.

        Raises:
            NotListening: BGP does not run there.
            CheckFailed: it does not answer.
        """
        with self.runtime.connect(self.record.lab, node, tables.SOCKET) as connection:
            try:
                return tables.ask(connection, query)
            except (NoAnswer, ValueError) as error:
                raise CheckFailed(f"{node}: {error}") from error

    def get(self, *path: str) -> Any:
        """GET `/v1/<path>` as JSON.

        Raises:
            InvalidInput: the API refuses (no such peer, NIC, ...).
            CheckFailed: the controller does not answer.
        """
        return self._request("GET", path)

    def fetch(self, kind: type[M], *path: str) -> M:
        """GET `/v1/<path>` as a value of its type in `labkit.feed`; raises as `get` does."""
        try:
            return codec.from_json(kind, self.get(*path))
        except codec.Undecodable as problem:
            raise self._unknown_form(problem) from problem

    def put(self, *path: str, body: object, within: float = _SECONDS) -> Any:
        """PUT JSON to `/v1/<path>`, which may take `within` seconds; raises as `get` does."""
        return self._request("PUT", path, json.dumps(body), within)

    def change(self, *changes: Change) -> list[dict[str, str]]:
        """Have the controller carry out changes, all of them or none: what each did, as `subject` and `what`.

        Raises:
            InvalidInput: one of them is refused, and nothing was changed.
            EnvironmentProblem: there is no room to keep them, and nothing was changed.
            CheckFailed: the controller does not answer.
        """
        # Changes need pydantic, which takes long to load, and `labkit status` does without.
        from labkit.azure.changes.registry import to_json  # noqa: PLC0415

        done: list[dict[str, str]] = self._request("POST", ("changes",), json.dumps(to_json(changes)))
        return done

    def changes(self) -> tuple[Change, ...]:
        """The changes that turn what the lab's file has into the lab as it is; raises as `get` does."""
        from labkit.azure.changes.registry import from_json  # noqa: PLC0415 - as above

        return from_json(self.get("changes"))

    def events(self, *, follow: bool) -> Iterator[LabEvent]:
        """The events of the lab, oldest first; with `follow` until the lab is gone.

        Raises:
            CheckFailed: the controller does not answer, or no longer does.
        """
        with self._response("GET", f"/v1/events?follow={int(follow)}", follow=follow) as response:
            for line in response:
                if line.endswith(b"\n"):  # else the controller died in the middle of it
                    yield self._event(line)
        if follow:
            raise self._silent()

    def _request(self, method: str, path: tuple[str, ...], body: str = "", within: float = _SECONDS) -> Any:
        # A name may have been typed in any encoding.
        url = "/v1/" + "/".join(quote(part, safe="", errors="surrogateescape") for part in path)
        if len(url) > _LONGEST or "" in path:
            names = ", ".join(f'"{part[:40]}..."' if len(part) > 40 else f'"{part}"' for part in path[1:])
            raise InvalidInput(f"the lab has nothing of this name: {names}.", "`labkit status` shows its nodes.")
        with self._response(method, url, body, within=within) as response:
            text = response.read()
        try:
            answer = json.loads(text)
            if response.status < 400:
                return answer
            kind = EnvironmentProblem if response.status == _NO_ROOM else InvalidInput
            refusal = kind(answer["error"], answer["remedy"])
        except (ValueError, KeyError, TypeError):
            if response.status < 400:
                raise self._silent() from None
            raise CheckFailed(
                f"the controller of lab {self.record.lab} failed: HTTP status {response.status}.",
                f"See why: labkit logs {CONTROLLER} --lab {self.record.lab}",
            ) from None
        raise refusal

    @contextmanager
    def _response(
        self, method: str, url: str, body: str = "", *, within: float = _SECONDS, follow: bool = False
    ) -> Iterator[HTTPResponse]:
        """Send a request and give its response, which begins within `within` seconds; its parts do, unless `follow`.

        Raises:
            CheckFailed: the controller does not answer, or stops in the middle of it.
        """
        connection = HTTPConnection(CONTROLLER)
        try:
            connection.sock = self.runtime.connect(self.record.lab, CONTROLLER, CONTROLLERS_API)
            connection.sock.settimeout(within)
            with waiting(f"the controller of lab {self.record.lab}", within):
                connection.request(method, url, body.encode())
                response = connection.getresponse()
            if follow:
                connection.sock.settimeout(None)
            yield response
        except TimeoutError:
            raise self._silent(f"it has not answered for {within:g} s; it is stopped (SIGSTOP) or too busy.") from None
        except InvalidInput as error:  # it is powered off, or all of the lab is
            raise self._silent(error.message) from error
        except (protocol.NotListening, HTTPException, OSError):
            raise self._silent() from None
        finally:
            connection.close()

    def _event(self, line: bytes) -> LabEvent:
        try:
            return codec.from_json(LabEvent, json.loads(line))
        except ValueError as problem:
            raise self._unknown_form(problem) from problem

    def _unknown_form(self, problem: ValueError) -> CheckFailed:
        lab = self.record.lab
        return CheckFailed(
            f"the controller of lab {lab} answers in a form that this version of labkit does not read: {problem}.",
            f"If another version started the lab, start it again: labkit down {lab}, then labkit up",
        )

    def _silent(self, why: str = "") -> CheckFailed:
        lab = self.record.lab
        return CheckFailed(
            f"the controller of lab {lab} does not answer{f': {why}' if why else '.'}",
            "BGP and the machines' routes stay as they are meanwhile.\n"
            f"See why: labkit logs {CONTROLLER} --lab {lab}    Power it on: labkit start {CONTROLLER} --lab {lab}",
        )
