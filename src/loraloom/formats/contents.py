"""What a file holds, short of the tensors themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, final

from loraloom.formats.rearrangement import Shape

Config: TypeAlias = Mapping[str, Any] | None


@final
@dataclass(frozen=True, kw_only=True)
class Contents:
    """Names, shapes, metadata and configuration, verbatim; `where` names the file in messages.

    `on_changed_base` allows an adapter whose training changed the base as well (PiSSA): its
    factors are right on that base alone. `family` is the one that whoever reads it states, "" if
    the file is to tell.
    """

    where: str
    shapes: Mapping[str, Shape]
    metadata: Mapping[str, str]
    config: Config = None
    on_changed_base: bool = False
    family: str = ""
