"""The keys of a group of options: what a person may write, and what each key expects."""

from __future__ import annotations

import difflib
import math
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from loraloom.options import AbstractOptions

Kind = Literal[
    "flag", "integer", "number", "text", "path", "choice", "size",
    "texts", "paths", "integers", "numbers",
]  # fmt: skip

_KINDS: Final[Mapping[Any, Kind]] = types.MappingProxyType(
    {
        bool: "flag",
        int: "integer",
        float: "number",
        Path: "path",
        tuple[str, ...]: "texts",
        tuple[Path, ...]: "paths",
        tuple[float, ...]: "numbers",
        tuple[int, ...]: "integers",
    }
)
_SIGNS: Final = (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))


@dataclass(frozen=True, kw_only=True)
class Key:
    """One option as it is written down.

    `home` is the way to it through nested groups of options, `group` the class that declares it.
    """

    name: str
    home: tuple[str, ...]
    group: str
    kind: Kind
    choices: tuple[str, ...]
    bounds: str
    default: Any
    required: bool
    aliases: tuple[str, ...]
    helps: Mapping[str, str]
    unit: str
    hidden: bool

    @property
    def spellings(self) -> tuple[str, ...]:
        """Every name it answers to, its own first."""
        return (self.name, *self.aliases)

    @property
    def repeats(self) -> bool:
        """Whether it takes any number of values."""
        return self.kind in ("texts", "paths", "integers", "numbers")


@cache
def keys_of(options: type[AbstractOptions]) -> tuple[Key, ...]:
    """Return the keys of a group of options and of the groups inside it, in declared order."""
    return tuple(_keys(options, ()))


def index(keys: Iterable[Key]) -> dict[str, Key]:
    """Return the keys by every spelling; `ValueError` where two share one."""
    found: dict[str, Key] = {}
    for key in keys:
        for spelling in key.spellings:
            if found.setdefault(spelling, key) is not key:
                raise ValueError(f"{spelling} is {found[spelling].name} and {key.name}")
    return found


def plain(spelling: str) -> str:
    """Return a key as it is looked up: `-` and `_` are alike."""
    return spelling.strip().replace("-", "_")


def nearest(spelling: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like a misspelt one, None if none is near."""
    return next(iter(difflib.get_close_matches(plain(spelling), list(known), n=1)), None)


def _keys(options: type[AbstractOptions], home: tuple[str, ...]) -> Iterable[Key]:
    for name, field in options.model_fields.items():
        inner = field.annotation
        extra: Any = field.json_schema_extra or {}
        if isinstance(inner, type) and issubclass(inner, AbstractOptions):
            yield from _keys(inner, (*home, name))
        elif "option" in extra:
            yield _key(name, home, options.__name__, field, extra["option"])


def _key(
    name: str, home: tuple[str, ...], group: str, field: FieldInfo, declared: Mapping[str, Any]
) -> Key:
    kind, choices = _kind(field.annotation)
    return Key(
        name=name,
        home=home,
        group=group,
        kind=kind,
        choices=choices,
        bounds=_bounds(field),
        default=None if field.is_required() else field.get_default(call_default_factory=True),
        required=field.default is PydanticUndefined and field.default_factory is None,
        aliases=tuple(alias for alias in declared["aliases"] if alias != name),
        helps={"en": declared["en"], "ko": declared["ko"]},
        unit=declared["unit"],
        hidden=declared["hidden"],
    )


def _kind(annotation: Any) -> tuple[Kind, tuple[str, ...]]:
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [part for part in get_args(annotation) if part is not types.NoneType]
        return _kind(inner[0]) if len(inner) == 1 else ("text", ())
    if get_origin(annotation) is Literal:
        return "choice", tuple(str(choice) for choice in get_args(annotation))
    if get_origin(annotation) is tuple and ... not in get_args(annotation):
        return "size", ()
    return _KINDS.get(annotation, "text"), ()


def _bounds(field: FieldInfo) -> str:
    found = [
        f"{sign} {_number(getattr(rule, attribute))}"
        for rule in field.metadata
        for attribute, sign in _SIGNS
        if getattr(rule, attribute, None) is not None
    ]
    return ", ".join(found)


def _number(bound: float) -> str:
    """Return a bound as a person would write it: 2^63 and 10^9 rather than all their digits."""
    if isinstance(bound, int) and bound > 10**6:
        for base in (2, 10):
            exponent = round(math.log(bound, base))
            if base**exponent == bound:
                return f"{base}^{exponent}"
    return str(bound)
