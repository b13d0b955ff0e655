"""The names of a recipe's adapters, which become the names of files."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from loraloom.errors import UsageError
from loraloom.jobs.settling import Given

# What some file system refuses, halves of letters among it, and what has a meaning inside
# <lora:name:strength>.
_UNSAFE = re.compile(r"""[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]""")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_REPEATS = re.compile(r"^\d+_(?=.)")


def named(tables: Sequence[Mapping[str, Given]]) -> Sequence[Mapping[str, Given]]:
    """Return the adapters' values, each with a name: its own, its trigger word or its folder's.

    A name that cannot be a file's, or that two adapters share, is a `UsageError`; file systems
    may not tell capital letters apart, so neither do we.
    """
    found = [{**table, "name": _name(table)} for table in tables]
    seen: dict[str, str] = {}
    for table in found:
        name = str(table["name"].value)
        if not is_file_safe(name):
            raise UsageError("recipe.name_unsafe", given=table["name"])
        if name.casefold() in seen:
            raise UsageError("recipe.name_taken", name=name, other=seen[name.casefold()])
        seen[name.casefold()] = name
    return found


def is_file_safe(name: str) -> bool:
    """Tell whether a name can be a file's on every common system."""
    return (
        0 < len(name.encode(errors="replace")) <= 200
        and name == name.strip(" .")
        and not _UNSAFE.search(name)
        and not _RESERVED.fullmatch(name)
    )


def _name(table: Mapping[str, Given]) -> Given:
    if "name" in table:
        return table["name"]
    trigger = table["trigger"].value if "trigger" in table else ""
    if isinstance(trigger, str) and is_file_safe(trigger) and not re.search(r"\s", trigger):
        return Given(spelling="name", value=trigger)
    folder = str(table["train_data_dir"].value) if "train_data_dir" in table else "adapter"
    name = _UNSAFE.sub("_", _REPEATS.sub("", os.path.basename(os.path.realpath(folder)))).strip(
        " ."
    )
    return Given(spelling="name", value=name if is_file_safe(name) else "adapter")
