"""How an option is declared: once, with its type, default, bounds, names elsewhere, and its help.

A group of options is a frozen pydantic model; its fields are made by `option`. The command line,
the recipe file and the reference page are rendered from these declarations, so that no surface
can know an option that another does not.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class AbstractOptions(BaseModel):
    """A group of options: immutable, and closed against keys that nobody declared."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        defer_build=True,  # help pages read the declarations of many groups and fill none
    )


def option(
    default: Any = ...,
    *,
    en: str,
    ko: str,
    aliases: tuple[str, ...] = (),
    unit: str = "",
    hidden: bool = False,
    **bounds: Any,
) -> Any:
    """Declare one option.

    `en` and `ko` say in one sentence what it is and what raising it does; `aliases` are the names
    other tools give it; `unit` is printed after the value; `hidden` keeps it out of short help.
    `bounds` go to pydantic (`ge`, `gt`, `le`, `lt`, `min_length`).
    """
    told = {"en": en, "ko": ko, "aliases": list(aliases), "unit": unit, "hidden": hidden}
    declare: Any = Field
    return declare(default, json_schema_extra={"option": told}, **bounds)
