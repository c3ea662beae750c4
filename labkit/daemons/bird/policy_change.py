"""A bird.conf with another export policy, and with other prefixes to originate. Pure.

The rest of the file, which somebody may have changed by hand, stays as it is.
"""

from __future__ import annotations

import re

BEGIN, END = "# Export policies.", "# End of export policies."
"""The lines around all filters and functions of the policy."""

_ORIGINATED = re.compile(r"^protocol static originated \{\n.*?^\}\n", re.MULTILINE | re.DOTALL)
_POLICIES = re.compile(rf"^{BEGIN}\n.*?^{END}\n", re.MULTILINE | re.DOTALL)
_NEIGHBOUR = re.compile(r"^# (?P<address>\S+) gets (?P<export>.+)$", re.MULTILINE)
_EXPORT = re.compile(
    r"(?P<before>^protocol bgp '[^'\n]*:(?P<address>[0-9.]+)' \{\n(?:(?!^\}).*\n)*?    export )(?P<export>[^;\n]+);",
    re.MULTILINE,
)


def neighbour_line(address: object, export: str) -> str:
    """The line of a policy for what is exported to a neighbour: `all`, or a filter."""
    return f"# {address} gets {export}"


def with_policy(configuration: str, policy: str) -> str:
    """A bird.conf with what `policy.policy` gives in place of what it has of that."""
    exports = {found["address"]: found["export"] for found in _NEIGHBOUR.finditer(policy)}
    for part in (_ORIGINATED, _POLICIES):
        new = part.search(policy)
        if new is not None:
            configuration = part.sub(lambda _, text=new[0]: text, configuration, count=1)  # type: ignore[misc]
    return _EXPORT.sub(
        lambda found: f"{found['before']}{exports.get(found['address'], found['export'])};", configuration
    )
