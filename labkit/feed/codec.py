r"""Frozen dataclasses to JSON and back: one codec for every message and answer, by the types of its fields.

| type                                         | JSON                                                     |
| -------------------------------------------- | -------------------------------------------------------- |
| `str`, `int`, `float`, `bool`, `None`        | the same                                                 |
| `bytes`                                      | a string of lower-case hex digits                        |
| `IPv4Address`, `IPv4Network`, a `StrEnum`    | a string                                                 |
| `tuple[T, ...]`, `tuple[A, B]`, `frozenset[T]`, `list[T]` | an array                                    |
| `Mapping[str, T]`, `Mapping[int, T]`         | an object                                                |
| a `TypedDict` (what Azure prints)            | an object with all its keys                              |
| a dataclass                                  | an object, with its `TYPE` as `type` if it has one       |
| `A \| B`                                      | by its `type`, or by the kind of JSON                    |

What a type needs is worked out once, when the first value of it comes. A field that has a default may be missing.
Written here and not taken from pydantic: its import would cost every service of every node 0.14 s of a processor.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from ipaddress import IPv4Address, IPv4Network
from types import NoneType, UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

M = TypeVar("M")

_Convert = Callable[[Any], Any]
_SCALARS = (str, int, float, bool, NoneType)
_ARRAYS = (tuple, frozenset, list)
_KINDS = {str: "a string", int: "an integer", float: "a number", bool: "true or false", NoneType: "null"}


class Undecodable(ValueError):
    """What came is not the value that it should be. `field` names the place, such as `ports.vm1.mac`; empty: all."""

    def __init__(self, problem: str, field: str = "") -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.problem, self.field = problem, field

    def inside(self, name: object) -> Undecodable:
        """The same problem as seen from outside of `name`."""
        return Undecodable(self.problem, f"{name}.{self.field}" if self.field else str(name))


def to_json(kind: Any, value: object) -> Any:
    """A value of a type as JSON-able values."""
    return _encoder(kind)(value)


def from_json(kind: type[M], content: object) -> M:
    """The value of a type.

    Raises:
        Undecodable: `content` is not one.
    """
    target: Any = kind
    value: M = _decoder(target)(content)
    return value


class Codec(Generic[M]):
    """The messages that one side sends to the other: dataclasses, distinguished by their `TYPE`."""

    def __init__(self, *kinds: type[M]) -> None:
        self.kinds = kinds

    def encode(self, message: M, seq: int | None = None) -> str:
        """A message as text; with its number if it has one."""
        kind: Any = type(message)
        content = _encoder(kind)(message)
        return json.dumps(content if seq is None else {"seq": seq, **content})

    def decode(self, text: str | bytes) -> M:
        """The message of a text without a number.

        Raises:
            Undecodable: the text is not one of the messages.
        """
        return self._message(_object(text))

    def decode_numbered(self, text: str | bytes) -> tuple[int, Callable[[], M]]:
        """The number of a message, and how to get at the message itself, which may raise `Undecodable`.

        Raises:
            Undecodable: the text has no number.
        """
        content = _object(text)
        seq = content.pop("seq", None)
        if type(seq) is not int:
            raise Undecodable("expected an integer", "seq")
        return seq, lambda: self._message(content)

    def _message(self, content: dict[str, Any]) -> M:
        message: M = _tagged(self.kinds)(content)
        return message


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Undecodable(f"not JSON: {error}") from error
    if type(content) is not dict:
        raise Undecodable("expected an object")
    return content


# From values to JSON.


@cache
def _encoder(kind: Any) -> _Convert:
    if _is_plain(kind):
        return lambda value: value
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return lambda value: _encoder(_member(arguments, value))(value)
    if origin in _ARRAYS:
        return _sequence_encoder(origin, arguments)
    if origin is not None and issubclass(origin, Mapping):
        encode = _encoder(arguments[1])
        if arguments[0] is str:
            return lambda value: {key: encode(each) for key, each in value.items()}
        return lambda value: {str(key): encode(each) for key, each in value.items()}
    if is_typeddict(kind):
        parts = {name: _encoder(hint) for name, hint in get_type_hints(kind).items()}
        return lambda value: {name: encode(value[name]) for name, encode in parts.items()}
    if is_dataclass(kind):
        return _dataclass_encoder(kind)
    return bytes.hex if kind is bytes else str


def _is_plain(kind: Any) -> bool:
    """Whether values of a type are JSON as they are."""
    if kind in _SCALARS:
        return True
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return all(map(_is_plain, arguments))
    if origin is tuple or origin is list:
        return all(_is_plain(each) for each in arguments if each is not Ellipsis)
    if is_typeddict(kind):
        return all(map(_is_plain, get_type_hints(kind).values()))
    return origin is not None and issubclass(origin, Mapping) and arguments[0] is str and _is_plain(arguments[1])


def _member(kinds: Iterable[Any], value: object) -> Any:
    """The one of a union's types that a value is of."""
    return next(kind for kind in kinds if isinstance(value, get_origin(kind) or kind))


def _sequence_encoder(origin: Any, arguments: tuple[Any, ...]) -> _Convert:
    encode = _encoder(arguments[0])
    if origin is frozenset:
        return lambda value: sorted(map(encode, value))
    if origin is list or arguments[-1] is Ellipsis:
        return lambda value: [encode(each) for each in value]
    each_encode = [_encoder(each) for each in arguments]
    return lambda value: [encode(each) for encode, each in zip(each_encode, value, strict=True)]


def _dataclass_encoder(kind: Any) -> _Convert:
    hints = get_type_hints(kind)
    tag = {"type": kind.TYPE} if hasattr(kind, "TYPE") else {}
    parts = [(field.name, _encoder(hints[field.name])) for field in fields(kind)]
    return lambda value: tag | {name: encode(getattr(value, name)) for name, encode in parts}


# From JSON to values.


@cache
def _decoder(kind: Any) -> _Convert:
    if kind in _SCALARS:
        return _scalar_decoder(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _union_decoder(arguments)
    if origin in _ARRAYS:
        return _sequence_decoder(origin, arguments)
    if origin is not None and issubclass(origin, Mapping):
        return _mapping_decoder(*arguments)
    if is_typeddict(kind):
        return _typed_dict_decoder(kind)
    if is_dataclass(kind):
        return _dataclass_decoder(kind)
    return _text_decoder(kind, {IPv4Address: "an IPv4 address", IPv4Network: "an IPv4 prefix", bytes: "hex digits"})


def _scalar_decoder(kind: type) -> _Convert:
    kinds = {kind, int} if kind is float else {kind}

    def decode(content: Any) -> Any:
        if type(content) not in kinds:
            raise Undecodable(f"expected {_KINDS[kind]}")
        return content

    return decode


def _text_decoder(kind: Any, names: Mapping[type, str]) -> _Convert:
    make = bytes.fromhex if kind is bytes else kind

    def decode(content: Any) -> Any:
        if type(content) is str:
            try:
                return make(content)
            except ValueError:
                pass
        expected = names.get(kind) or "one of " + ", ".join(kind) if issubclass(kind, Enum) else names[kind]
        raise Undecodable(f"expected {expected}, not {content!r}")

    return decode


def _union_decoder(kinds: tuple[Any, ...]) -> _Convert:
    tagged: tuple[Any, ...] = tuple(kind for kind in kinds if is_dataclass(kind))
    choices: dict[type, _Convert] = {}
    if len(tagged) == 1:
        choices[dict] = _decoder(tagged[0])
    elif tagged:
        choices[dict] = _tagged(tagged)
    for kind in kinds:
        if kind in _SCALARS:
            choices[kind] = _decoder(kind)
        elif get_origin(kind) in _ARRAYS:
            choices[list] = _decoder(kind)
        elif get_origin(kind) is not None:
            choices[dict] = _decoder(kind)
        elif not is_dataclass(kind):
            choices[str] = _decoder(kind)

    def decode(content: Any) -> Any:
        choice = choices.get(type(content))
        if choice is None:
            raise Undecodable(f"unexpected {content!r}")
        return choice(content)

    return decode


@cache
def _tagged(kinds: tuple[Any, ...]) -> _Convert:
    decoders = {kind.TYPE: _decoder(kind) for kind in kinds}

    def decode(content: Any) -> Any:
        if type(content) is not dict:
            raise Undecodable("expected an object")
        tag = content.get("type")
        if type(tag) is not str or tag not in decoders:
            raise Undecodable(f"expected one of {', '.join(decoders)}, not {tag!r}", "type")
        return decoders[tag](content)

    return decode


def _sequence_decoder(origin: Any, arguments: tuple[Any, ...]) -> _Convert:
    if origin is tuple and arguments[-1] is not Ellipsis:
        each_decode = [_decoder(each) for each in arguments]

        def decode_each(content: Any) -> Any:
            if type(content) is not list or len(content) != len(each_decode):
                raise Undecodable(f"expected an array of {len(each_decode)}")
            return tuple(
                _inside(i, decode, each) for i, (decode, each) in enumerate(zip(each_decode, content, strict=True))
            )

        return decode_each
    member, decode = arguments[0], _decoder(arguments[0])

    def decode_all(content: Any) -> Any:
        if type(content) is not list:
            raise Undecodable("expected an array")
        if member in _SCALARS and set(map(type, content)) <= {member}:
            return origin(content)
        return origin(_inside(i, decode, each) for i, each in enumerate(content))

    return decode_all


def _typed_dict_decoder(kind: Any) -> _Convert:
    parts = {name: _decoder(hint) for name, hint in get_type_hints(kind).items()}

    def decode_row(content: Any) -> Any:
        if type(content) is not dict:
            raise Undecodable("expected an object")
        if content.keys() != parts.keys():
            if missing := parts.keys() - content.keys():
                raise Undecodable("is missing", min(missing))
            raise Undecodable("is unknown", min(content.keys() - parts.keys()))
        return {name: _inside(name, decode, content[name]) for name, decode in parts.items()}

    return decode_row


def _mapping_decoder(key: Any, kind: Any) -> _Convert:
    decode = _decoder(kind)

    def decode_mapping(content: Any) -> Any:
        if type(content) is not dict:
            raise Undecodable("expected an object")
        if key is str:
            if kind in _SCALARS and set(map(type, content.values())) <= {kind}:
                return content
            return {name: _inside(name, decode, each) for name, each in content.items()}
        return {_inside(name, _number, name): _inside(name, decode, each) for name, each in content.items()}

    return decode_mapping


def _number(text: str) -> int:
    if not text.isdecimal():
        raise Undecodable("expected a number as key")
    return int(text)


def _inside(name: object, decode: _Convert, content: Any) -> Any:
    try:
        return decode(content)
    except Undecodable as error:
        raise error.inside(name) from None


def _dataclass_decoder(kind: Any) -> _Convert:
    hints = get_type_hints(kind)
    parts = [
        (field.name, _decoder(hints[field.name]), field.default is MISSING and field.default_factory is MISSING)
        for field in fields(kind)
    ]
    known = {name for name, _, _ in parts} | ({"type"} if hasattr(kind, "TYPE") else set())

    def decode_dataclass(content: Any) -> Any:
        if type(content) is not dict:
            raise Undecodable("expected an object")
        values = {}
        for name, decode, needed in parts:
            if name in content:
                try:
                    values[name] = decode(content[name])
                except Undecodable as error:
                    raise error.inside(name) from None
            elif needed:
                raise Undecodable("is missing", name)
        if len(content) > len(values) and (unknown := content.keys() - known):
            raise Undecodable("is unknown", min(unknown))
        try:
            return kind(**values)
        except Undecodable:
            raise
        except ValueError as error:
            raise Undecodable(str(error)) from error

    return decode_dataclass
