"""Results and errors as JSON, for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from loraloom.errors import LoraLoomError


def dumps(value: Any) -> str:
    """Return one line of JSON; numbers that JSON has no word for become null."""
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, default=str)


def error_record(error: LoraLoomError, language: str) -> dict[str, Any]:
    """Return an error as data."""
    return {
        "code": error.code,
        "message": error.message(language),
        "exit_code": error.exit_code,
    }


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
