"""The words of a lab file: prefixes, addresses, names and choices, each with its mistake and remedy.

Every parser takes what YAML gives (text) and raises `Mistake` with the text and the remedy that the user reads.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, NetmaskValueError
from typing import Annotated, Any, TypeVar, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
)
from pydantic import model_validator as _model_validator
from pydantic.json_schema import JsonSchemaValue, WithJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError

from labkit import names
from labkit.azure.rules.communities import NO_ADVERTISE, NO_EXPORT
from labkit.lab.file.references import HopReference, Reference

MAX_VARIANT_NAME = 15
OWN_NAME = r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$"
"""The names of labs and variants, which are labkit's own."""


def mistake(text: str, remedy: str) -> PydanticCustomError:
    """An error that carries its own text and remedy through pydantic."""
    return PydanticCustomError("mistake", "{text}", {"text": text, "remedy": remedy})


def missing(instead: str) -> PydanticCustomError:
    """The error that a key is missing, where there is no key `instead`, either."""
    return PydanticCustomError("missing", "missing", {"instead": instead})


def _is_v6(text: str) -> bool:
    try:
        IPv6Address(text.partition("/")[0])
    except AddressValueError:
        return False
    return True


def parse_prefix(value: object) -> IPv4Network:
    """An IPv4 prefix with its length and without host bits."""
    if isinstance(value, IPv4Network):
        return value
    if not isinstance(value, str):
        raise mistake("must be a prefix", "Write it as 10.1.0.0/16.")
    if _is_v6(value):
        raise mistake(
            f"{value} is IPv6, which Azure Route Server does not support",
            "Use an IPv4 prefix, such as 10.1.0.0/16.",
        )
    address, slash, length = value.partition("/")
    try:
        network = IPv4Network(value, strict=False)
        plain = not slash or length.isdecimal()
    except (AddressValueError, NetmaskValueError, ValueError):
        plain = False
    if not plain:
        raise mistake(f'"{value}" is not an IPv4 prefix', "Write an address, a slash and a length: 10.1.0.0/16.")
    if not slash:
        raise mistake(f"prefix {value} has no length", "Add it, as in 10.1.0.0/16.")
    if network.network_address != IPv4Address(address):
        raise mistake(f"{value} has bits set beyond its length", f"The prefix is {network}.")
    if str(network) != value:
        raise mistake(f'"{value}" is not written as a prefix', f"Write it as {network}.")
    return network


WELL_KNOWN_COMMUNITIES = {"no-advertise": NO_ADVERTISE, "no-export": NO_EXPORT}


def parse_address(value: object) -> IPv4Address:
    """An IPv4 address."""
    if isinstance(value, IPv4Address):
        return value
    if not isinstance(value, str):
        raise mistake("must be an address", "Write it as 10.1.0.4.")
    if _is_v6(value):
        raise mistake(
            f"{value} is IPv6, which Azure Route Server does not support", "Use an IPv4 address, such as 10.1.0.4."
        )
    try:
        return IPv4Address(value)
    except AddressValueError:
        remedy = "Omit the prefix length." if "/" in value else "Write it as 10.1.0.4."
        raise mistake(f'"{value}" is not an IPv4 address', remedy) from None


def _parse_mac(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}", value):
        if int(value[:2], 16) & 1:
            raise mistake(
                f"MAC address {value} is a multicast address", "The first byte must be even, as in 00:0d:3a:00:00:01."
            )
        return value.lower()
    raise mistake("must be a MAC address", "Write it as 00:0d:3a:00:00:01.")


def one_or_more(value: object) -> object:
    """A list, or one value in place of a list of it."""
    return [value] if isinstance(value, str) else value


def _not_empty(value: Collection[object] | None) -> Collection[object] | None:
    if value is not None and not value:
        raise mistake("the list is empty", "Add an item, or remove the key: without it, everything matches.")
    return value


NotEmpty = AfterValidator(_not_empty)
"""Of a list of what matches: one without items would match nothing, or as if it were not there."""


def _parse_as_path(value: object) -> object:
    """An AS path: a list, or one text with spaces or hyphens between the numbers."""
    return re.split(r"[\s-]+", value.strip()) if isinstance(value, str) and value.strip() else value


def _parse_communities(value: object) -> tuple[tuple[int, int], ...]:
    """Communities: names of well-known ones, or two numbers with a colon between."""
    if isinstance(value, tuple):
        return value
    found = []
    for item in value if isinstance(value, list) else [value]:
        if item in WELL_KNOWN_COMMUNITIES:
            found.append(WELL_KNOWN_COMMUNITIES[item])
            continue
        parts = re.fullmatch(r"(\d{1,5}):(\d{1,5})", item) if isinstance(item, str) else None
        numbers = tuple(map(int, parts.groups())) if parts else ()
        if len(numbers) != 2 or max(numbers) > 0xFFFF:
            known = ", ".join(WELL_KNOWN_COMMUNITIES)
            raise mistake(
                f'"{item}" is not a valid community', f"Write two numbers up to 65535, such as 65001:100, or {known}."
            )
        found.append((numbers[0], numbers[1]))
    return tuple(found)


def _parse_sides(value: object) -> tuple[str, ...] | bool:
    """The sides of a peering that an option holds for: true for both, false for none, or names."""
    if isinstance(value, str):
        switch = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
        return switch.get(value.lower(), (value,))
    if isinstance(value, (bool, tuple)):
        return value
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return tuple(value)
    raise mistake("must be true, false or the name of a side", "Name the virtual network that has the option.")


_IPV4 = r"(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}"
_ADDRESS_SCHEMA = {"type": "string", "pattern": f"^{_IPV4}$", "examples": ["10.1.0.4"]}
_PREFIX_SCHEMA = {"type": "string", "pattern": rf"^{_IPV4}/(3[0-2]|[12]?\d)$", "examples": ["10.1.0.0/16"]}
_SIDES_SCHEMA = {"anyOf": [{"type": "boolean"}, {"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_ASN_SCHEMA = {"type": "integer", "minimum": 1, "maximum": 4294967294}
_AS_PATH_SCHEMA = {
    "anyOf": [{"type": "array", "items": _ASN_SCHEMA}, {"type": "string"}, {"type": "integer"}],
    "examples": [[65515, 65001]],
}


def _name_schema(pattern: str, lengths: range) -> JsonSchemaValue:
    return {"type": "string", "pattern": pattern, "minLength": lengths[0], "maxLength": lengths[-1]}


def _one_or_more(item: JsonSchemaValue) -> JsonSchemaValue:
    return {"anyOf": [item, {"type": "array", "items": item}]}


Prefix = Annotated[IPv4Network, BeforeValidator(parse_prefix), WithJsonSchema(_PREFIX_SCHEMA)]
Address = Annotated[IPv4Address, BeforeValidator(parse_address), WithJsonSchema(_ADDRESS_SCHEMA)]
Addresses = Annotated[tuple[Address, ...], BeforeValidator(one_or_more), WithJsonSchema(_one_or_more(_ADDRESS_SCHEMA))]
Mac = Annotated[str, BeforeValidator(_parse_mac), WithJsonSchema({"type": "string"})]
Asn = Annotated[int, WithJsonSchema(_ASN_SCHEMA)]
AsPath = Annotated[tuple[int, ...], BeforeValidator(_parse_as_path), WithJsonSchema(_AS_PATH_SCHEMA)]
Communities = Annotated[
    tuple[tuple[int, int], ...],
    BeforeValidator(_parse_communities),
    WithJsonSchema(_one_or_more({"type": "string", "examples": ["no-advertise", "65001:100"]})),
]
Sides = Annotated[tuple[Reference, ...] | bool, BeforeValidator(_parse_sides), WithJsonSchema(_SIDES_SCHEMA)]
Prefixes = Annotated[tuple[Prefix, ...], BeforeValidator(one_or_more), WithJsonSchema(_one_or_more(_PREFIX_SCHEMA))]
References = Annotated[
    tuple[Reference, ...], BeforeValidator(one_or_more), WithJsonSchema(_one_or_more({"type": "string"}))
]
HopReferences = Annotated[
    tuple[HopReference, ...], BeforeValidator(one_or_more), WithJsonSchema(_one_or_more({"type": "string"}))
]
Words = Annotated[tuple[str, ...], BeforeValidator(one_or_more), WithJsonSchema(_one_or_more({"type": "string"}))]

# Names are checked where their kind is known (labkit.lab.compile); the patterns are for editors.
AzureName = Annotated[str, WithJsonSchema(_name_schema(names.PATTERN, names.LENGTHS))]
NetworkName = Annotated[str, WithJsonSchema(_name_schema(names.PATTERN, names.NETWORK_LENGTHS))]
MachineName = Annotated[str, WithJsonSchema(_name_schema(names.PATTERN, names.MACHINE_LENGTHS))]
VariantName = Annotated[str, WithJsonSchema(_name_schema(OWN_NAME, range(1, MAX_VARIANT_NAME + 1)))]


class Part(BaseModel):
    """A part of a lab file: unknown keys are mistakes, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True)


class ShortPart(Part):
    """A part one of whose fields alone may stand for the whole: `app: 10.1.0.0/24` for `app: {prefix: 10.1.0.0/24}`.

    It is the first one that has a single value.
    """

    @_model_validator(mode="wrap")
    @classmethod
    def _long_form(cls, value: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
        short = isinstance(value, (str, IPv4Network))
        return handler({cls._short(): value} if short else value)

    @classmethod
    def _short(cls) -> str:
        return next(name for name, field in cls.model_fields.items() if get_origin(field.annotation) is not Mapping)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The short form or the long one."""
        long = handler.resolve_ref_schema(handler(core_schema))
        first = long["properties"][cls._short()]
        short = {k: v for k, v in first.items() if k != "title"}
        return {"anyOf": [short, long]}


def _as_named(value: object) -> object:
    """`name` as `{name: None}`."""
    if isinstance(value, str):
        return {value: None}
    if isinstance(value, dict) and len(value) == 1:
        return value
    raise mistake("must be a name, or a name with its options", "Write each name as its own list item.")


class _OneAlone:
    """The JSON Schema of a list that one text may stand for."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string"}, handler(core_schema)]}


class _NameAlone:
    """The JSON Schema of a list item that is a name, or a mapping of that one name to options."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string"}, {**handler(core_schema), "minProperties": 1, "maxProperties": 1}]}


_T = TypeVar("_T")
_Named = Annotated[dict[Reference, _T | None], BeforeValidator(_as_named), _NameAlone]
Named = Annotated[list[_Named[_T]], BeforeValidator(one_or_more), _OneAlone]
"""A list of names, each alone or with options."""


class Timers(Part):
    """BGP timers in seconds. Azure's own are 60 and 180; the lower hold time of the two sides counts."""

    keepalive: Annotated[int, Field(ge=1, le=65535)] = 60
    """Seconds between keepalives."""
    hold: Annotated[int, Field(le=65535)] = 180
    """Seconds of silence after which the peer is taken for dead."""


class OverlayOptions(ShortPart):
    """An overlay from an NVA to another."""

    prefix: Prefix | None = None
    """The overlay's own range, /30 or /31. Default: a /30 of 100.64.0.0/16."""
    public: bool = False
    """True: its packets go over the Internet, from public address to public address."""
    nic: str | None = None
    """The NVA's own NIC that its packets leave by. Default: the primary one."""


class LinkOptions(ShortPart):
    """A link from an NVA or a circuit to a site."""

    prefix: Prefix
    """The link's own range, /30 or /31. Default: a /30 of 100.64.0.0/16."""
