"""Results and errors as JSON, for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from loraloom.errors import LoraLoomError
from loraloom.text.harmless import is_obeyed


def dumps(value: Any) -> str:
    """Return one line of JSON; numbers that JSON has no word for become null.

    What a terminal would obey is escaped, also where JSON itself would not ask for it.
    """
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, default=str)
    return text if text.isprintable() else "".join(map(_escaped, text))


def error_record(error: LoraLoomError, language: str) -> dict[str, Any]:
    """Return an error as data."""
    return {
        "code": error.code,
        "message": error.message(language),
        "exit_code": error.exit_code,
    }


def _escaped(letter: str) -> str:
    return json.dumps(letter)[1:-1] if is_obeyed(letter) else letter


def _finite(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return None
        case Mapping():
            return {str(key): _finite(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case list() | tuple():
            return [_finite(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value
