"""Messages as they travel."""

from __future__ import annotations

import json
from typing import Any

from labkit.feed.codec import to_json


def written(message: object) -> Any:
    """A message, or another value of the feed, as JSON."""
    return json.loads(json.dumps(to_json(type(message), message)))
