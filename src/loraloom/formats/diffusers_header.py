"""The configurations that diffusers keeps in a file's header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from loraloom.errors import ModelError
from loraloom.formats.contents import Contents
from loraloom.formats.strict_json import parse_object

_ENTRY: Final = "lora_adapter_metadata"


def configs_in(contents: Contents) -> dict[str, dict[str, Any]]:
    """Return the configurations in the header by network; none if there is no such entry."""
    try:
        fields = parse_object(contents.metadata.get(_ENTRY, "{}").encode())
    except ValueError as error:
        raise ModelError("format.config", where=f"{contents.where}: {_ENTRY}") from error
    configs: dict[str, dict[str, Any]] = {}
    for name, value in fields.items():
        part, _, field = name.partition(".")
        configs.setdefault(part, {})[field] = value
    return configs


def header_entry(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return the entry for fields whose names begin with the network's, `configs_in` undone."""
    return {_ENTRY: json.dumps(fields, indent=2, sort_keys=True)}
