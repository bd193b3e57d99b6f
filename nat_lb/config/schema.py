"""The JSON Schema of the file, for editors that complete and check TOML.

The law: it is derived from the model, so a file that an editor objects to is one that nat-lb refuses.
`python -m nat_lb.config.schema` prints it; the copy in docs/reference is held to it by a test.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from nat_lb.config.model import Config


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a configuration file."""
    schema = _without_noise(Config.model_json_schema(by_alias=True))
    heading = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "nat-lb configuration"}
    return {**heading, **schema}


def _without_noise(node: Any) -> Any:
    """Drop generated titles, and put `x-default`, which editors do not show, into the description."""
    if isinstance(node, list):
        return [_without_noise(item) for item in node]
    if not isinstance(node, dict):
        return node
    default = node.get("x-default")
    kept = {key: _without_noise(value) for key, value in node.items() if not _is_noise(key, value)}
    if default:
        kept["description"] = f"{kept['description']} Default: {default}."
    return kept


def _is_noise(key: str, value: Any) -> bool:
    return key == "x-default" or (key == "title" and isinstance(value, str))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
