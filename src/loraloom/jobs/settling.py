"""What a person wrote, turned into options, or into errors that say where and what."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from loraloom.errors import LoraLoomError, UsageError
from loraloom.jobs.keys import Key, Kind, keys_of
from loraloom.options import AbstractOptions
from loraloom.text import catalogue

Options = TypeVar("Options", bound=AbstractOptions)
Made = TypeVar("Made")

_EXPECTS: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        "flag": "option.expects_flag",
        "integer": "option.expects_integer",
        "number": "option.expects_number",
        "text": "option.expects_text",
        "path": "option.expects_path",
        "choice": "option.expects_choice",
        "texts": "option.expects_texts",
        "paths": "option.expects_texts",
        "size": "option.expects_size",
        "integers": "option.expects_numbers",
        "numbers": "option.expects_numbers",
    }
)
_SCALARS: Final = ("text", "path", "choice")
_LISTS: Final = ("texts", "paths")
_SHOWN: Final = 100
"""How many letters of a value an error shows."""
_BITS: Final = 4096
"""Longer integers are shown in hexadecimal: Python writes them in no other way at any length."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """One key and its value as they were written.

    `place` is "file:line", empty for a flag; `within` is the key whose value holds this one.
    """

    spelling: str
    value: Any
    place: str = ""
    within: str = ""

    def __str__(self) -> str:
        equals = "=" if self.within else " = " if self.place else " "
        return f"{self.named}{equals}{_shown(self.value)}"

    @property
    def named(self) -> str:
        """The key and where it stands, without the value."""
        name = f"{self.within} {self.spelling}" if self.within else self.spelling
        return f"{self.place}: {name}" if self.place else f"--{name}"


class UsageErrors(UsageError):
    """Several things that are off, told together; the first one's code."""

    def __init__(self, errors: Sequence[LoraLoomError]) -> None:
        super().__init__(errors[0].code, **errors[0].details)
        self.errors = tuple(errors)

    def message(self, language: str) -> str:
        """Return all messages, each on its own lines, equal ones once."""
        return "\n".join(dict.fromkeys(error.message(language) for error in self.errors))


def raise_all(errors: Sequence[LoraLoomError]) -> None:
    """Raise one error as it is, several as `UsageErrors`, none not at all."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise UsageErrors(errors)


def collect(errors: list[LoraLoomError], makes: Iterable[Callable[[], Made]]) -> list[Made]:
    """Return what the functions make; the `UsageError` of one that fails goes to `errors`."""
    made: list[Made] = []
    for make in makes:
        try:
            made.append(make())
        except UsageErrors as error:
            errors.extend(error.errors)
        except UsageError as error:
            errors.append(error)
    return made


def settle(options: type[Options], given: Mapping[str, Given], **groups: Any) -> Options:
    """Return the options with these values, by key; whatever is off is told together.

    `groups` are fields that are no single option. Required keys that are not given are errors.
    """
    keys = {key.name: key for key in keys_of(options)}
    errors: list[LoraLoomError] = [
        _required(key) for key in keys.values() if key.required and key.name not in given
    ]
    tree: dict[str, Any] = dict(groups)
    for key in keys.values():
        branch = _branch(tree, key)
        if key.name in given:
            makes = [partial(_settled, key, given[key.name])]
            branch.update((key.name, value) for value in collect(errors, makes))
    try:
        settled = options.model_validate(tree)
    except ValidationError as error:
        raise_all([*errors, *_translated(error, tuple(keys.values()), given)])
        raise
    except UsageError as error:
        raise_all([*errors, error])
        raise
    raise_all(errors)
    return settled


def _settled(key: Key, given: Given) -> Any:
    """Return a value with the liberties of the surface taken out."""
    value = given.value
    check_letters(key, given)
    if key.kind == "choice" and isinstance(value, str):
        return next((c for c in key.choices if _alike(c) == _alike(value)), value)
    if key.repeats and isinstance(value, str | Path):
        return (value,)
    if key.kind == "flag" and isinstance(value, str) and value.lower() not in _BOOLEANS:
        raise wrong(key, given)
    if isinstance(value, bool) and key.kind != "flag":
        raise wrong(key, given)
    if key.kind in _SCALARS and not isinstance(value, str | Path):
        raise wrong(key, given)
    if key.kind in _LISTS and type(value) not in (list, tuple):
        raise wrong(key, given)
    if key.kind in ("integers", "numbers"):
        return _numbers(value)
    if key.kind == "number" and not _is_finite(value):
        raise wrong(key, given)
    return value


def check_letters(key: Key, given: Given, *, is_kept: bool = False) -> None:
    """Raise UsageError for an empty path, and for letters that no file can be called or hold.

    A path may have bytes that are not UTF-8, as Python reads them, unless `is_kept` says that it
    is written down; a text may not.
    """
    is_path = key.kind in ("path", "paths")
    values: Sequence[Any] = given.value if type(given.value) in (list, tuple) else (given.value,)
    for text in (str(value) for value in values if isinstance(value, str | Path)):
        one = replace(given, value=text)
        if is_path and not text:
            raise UsageError("option.empty", given=one)
        if is_path and "\0" in text:
            raise UsageError("option.zero", given=one)
        try:
            text.encode(errors="surrogateescape" if is_path and not is_kept else "strict")
        except UnicodeEncodeError as error:
            raise UsageError("option.not_unicode", given=one) from error


def _numbers(value: Any) -> Any:
    """Split "0,0.5,1", alone or in a list; what is no number is left for the declaration."""
    if isinstance(value, list | tuple):
        return tuple(part for item in value for part in _numbers(item))  # pyright: ignore[reportUnknownVariableType]
    return tuple(value.split(",")) if isinstance(value, str) else (value,)


def _is_finite(value: Any) -> bool:
    """Tell whether a value, a number's text included, is a finite number."""
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return False


def _required(key: Key) -> UsageError:
    """Return the error of a key left out; the catalogue may hold advice of its own for it."""
    own = f"required.{key.name}"
    return UsageError(own if own in catalogue("en") else "option.required", key=key.name)


_BOOLEANS: Final = ("true", "false", "1", "0", "yes", "no", "on", "off")


def wrong(key: Key, given: Given) -> UsageError:
    """Return the error of a value that is not of the key's kind."""
    return UsageError(_EXPECTS[key.kind], given=given, choices=", ".join(key.choices))


def _translated(
    error: ValidationError, keys: Iterable[Key], given: Mapping[str, Given]
) -> Iterable[UsageError]:
    ways: dict[tuple[int | str, ...], Key] = {(*key.home, key.name): key for key in keys}
    told: set[str] = set()
    for detail in error.errors():
        if detail["type"] == "missing" and detail["loc"] in ways:
            continue  # left out, or told already
        key = next(ways[w] for n in range(9) if (w := tuple(detail["loc"][:n])) in ways)
        if key.name in told:
            continue
        told.add(key.name)
        item = given[key.name]
        match detail["type"]:
            case (
                "greater_than"
                | "greater_than_equal"
                | "less_than"
                | "less_than_equal"
                | "int_parsing_size"  # thousands of digits
            ) if key.bounds:
                yield UsageError("option.bounds", given=item, bounds=key.bounds)
            case "less_than_equal":  # of each number inside the value
                bounds = f"≤ {detail.get('ctx', {})['le']}"
                yield UsageError("option.bounds", given=item, bounds=bounds)
            case "string_too_short" | "too_short" if not item.value:
                yield UsageError("option.empty", given=item)
            case "value_error" | "assertion_error":
                reason = detail["msg"].removeprefix("Value error, ")
                yield UsageError("option.rejected", given=item, reason=reason)
            case _:
                yield wrong(key, item)


def _branch(tree: dict[str, Any], key: Key) -> dict[str, Any]:
    branch = tree
    for step in key.home:
        branch = branch.setdefault(step, {})
    return branch


def _alike(word: str) -> str:
    return word.lower().replace("-", "_")


def _shown(value: Any) -> str:
    shown = _written(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def _written(value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > _BITS:
        return f"{'-' * (value < 0)}{hex(abs(value))}"
    if isinstance(value, str | Path) and not str(value).isprintable():
        return repr(str(value))
    if isinstance(value, str):
        return f'"{value}"' if not value or " " in value else value
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
