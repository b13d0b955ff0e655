"""JSON files of a base, read as what they should be, or as errors that name the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from loraloom.errors import ModelError


class AbstractConfiguration(BaseModel):
    """The entries of a configuration that matter here, of exactly their types; others may be."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


Configuration = TypeVar("Configuration", bound=AbstractConfiguration)


def read_object(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds; anything else is a `ModelError`."""
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError("model.unreadable", path=path, reason=error) from error
    if not isinstance(content, dict):
        raise ModelError("model.not_object", path=path)
    return cast("dict[str, Any]", content)


def understood(kind: type[Configuration], content: Any, where: Path | str) -> Configuration:
    """Return what a configuration says; an entry that is missing or wrong is a `ModelError`."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ModelError("model.entry", path=where, key=key, reason=first["msg"]) from error
