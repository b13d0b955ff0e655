"""The levels of a data set file: `[general]`, `[[datasets]]`, `[[datasets.subsets]]`."""

# What a parser of TOML returns is any mix of mappings, lists and scalars.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from loraloom.errors import LoraLoomError, UsageError
from loraloom.events import Warned
from loraloom.jobs.dataset.subset_options import OWN, RENAMED, WHOLE, known_keys
from loraloom.jobs.foreign import FOREIGN
from loraloom.jobs.keys import nearest, plain
from loraloom.jobs.settling import Given

# The levels of the file, outermost first; a key that an inner one has wins over an outer one's.
_GENERAL, _DATASET, _SUBSET = "[general]", "[[datasets]]", "[[datasets.subsets]]"

# Keys of sd-scripts that stand in such a file only, and that nothing here answers to.
_ABSENT: Final = (
    "cache_info",
    "custom_attributes",
    "face_crop_aug_range",
    "metadata_file",
    "network_multiplier",
    "resize_interpolation",
    "skip_image_resolution",
    "validation_seed",
    "validation_split",
)

_HEADER = re.compile(r"""\s*(\[{1,2})\s*["']?([\w.-]+)""")
_KEY = re.compile(r"""\s*["']?([\w-]+)["']?\s*=""")

Values = dict[str, Given]
_Place = tuple[int, int]


@final
@dataclass(frozen=True, kw_only=True)
class Levels:
    """What a file says, the levels laid over each other: values of each subset, and remarks."""

    subsets: tuple[Values, ...]
    errors: list[LoraLoomError]
    notes: tuple[Warned, ...]


def read_levels(path: Path) -> Levels:
    """Read a file; what cannot be read at all is a `UsageError`, other errors are collected."""
    text, content = _content(path)
    lines = _lines(text)

    def place(where: _Place, key: str) -> str:
        line = lines.get((where, key))
        return path.name if line is None else f"{path.name}:{line}"

    reader = _Reader(place, [], [])
    subsets = tuple(reader.subsets(content))
    return Levels(subsets=subsets, errors=reader.errors, notes=tuple(reader.notes))


@final
@dataclass(frozen=True)
class _Reader:
    """Reads the levels of a file and collects what is off, so that all is told at once."""

    place: Callable[[_Place, str], str]
    errors: list[LoraLoomError]
    notes: list[Warned]

    def subsets(self, content: Mapping[str, Any]) -> Iterator[Values]:
        """Yield the values of each subset, those of the levels above included."""
        for key, value in content.items():
            given = Given(spelling=key, value=value, place=self.place((-1, -1), key))
            if plain(key) in (*known_keys(), *WHOLE):
                level = _SUBSET if plain(key) in OWN else _GENERAL
                self.errors.append(UsageError("dataset_file.level", given=given, level=level))
            elif key not in ("general", "datasets"):
                self._fail(given)
        general = self._values(_table(content.get("general", {})), (-1, -1), _GENERAL)
        for number, dataset in enumerate(_tables(content.get("datasets", []))):
            plain_keys = {key: value for key, value in dataset.items() if key != "subsets"}
            whole = general | self._values(plain_keys, (number, -1), _DATASET)
            for inner, subset in enumerate(_tables(dataset.get("subsets", []))):
                values = whole | self._values(subset, (number, inner), _SUBSET)
                if "image_dir" in values:
                    yield values
                else:
                    place = self.place((number, inner), "")
                    self.errors.append(UsageError("dataset_file.folder_missing", place=place))

    def _values(self, table: Mapping[str, Any], where: _Place, level: str) -> Values:
        found: Values = {}
        for key, value in table.items():
            given = Given(spelling=key, value=value, place=self.place(where, key))
            name = plain(key)
            if (name in WHOLE and level == _SUBSET) or (name in OWN and level != _SUBSET):
                right = _DATASET if name in WHOLE else _SUBSET
                self.errors.append(UsageError("dataset_file.level", given=given, level=right))
            elif name in known_keys() or name in RENAMED:
                found[name] = given
            elif name in FOREIGN:
                self._judge(given)
            else:
                self._fail(given)
        return found

    def _judge(self, given: Given) -> None:
        foreign = FOREIGN[plain(given.spelling)]
        match foreign.verdict(given.value):
            case "held":
                details = {"key": given.named}
                self.notes.append(
                    Warned(code=f"held.{foreign.why}", details=details, severity="note")
                )
            case "refused":
                self.errors.append(UsageError(f"foreign.{foreign.why}", key=given.named))
            case "off":
                pass

    def _fail(self, given: Given) -> None:
        name = plain(given.spelling)
        if name in _ABSENT:
            error = UsageError("dataset_file.not_offered", key=given.named)
        elif near := nearest(name, [*known_keys(), *WHOLE, "general", "datasets", "subsets"]):
            error = UsageError("recipe.unknown_near", key=given.named, near=near)
        else:
            error = UsageError("dataset_file.unknown", key=given.named)
        self.errors.append(error)


def _content(path: Path) -> tuple[str, Mapping[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        return text, tomllib.loads(text)
    except OSError as error:
        raise UsageError("recipe.unreadable", path=path, reason=error.strerror) from error
    except ValueError as error:  # of the form, of UTF-8, or of a number with thousands of digits
        raise UsageError("recipe.not_toml", path=path, reason=error) from error


def _lines(text: str) -> Mapping[tuple[_Place, str], int]:
    """Find the line of each key by the numbers of its data set and subset, -1 for none.

    "" stands for the header of their table.
    """
    found: dict[tuple[_Place, str], int] = {}
    dataset, subset = -1, -1
    where: _Place = (-1, -1)
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            if header[2] == "datasets":
                dataset, subset = dataset + 1, -1
            subset += header[2] == "datasets.subsets"
            where = (-1, -1) if header[2] == "general" else (dataset, subset)
            found.setdefault((where, ""), number)
        elif key := _KEY.match(line):
            found.setdefault((where, key[1]), number)
    return found


def _table(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UsageError("dataset_file.not_tables")
    return value


def _tables(value: Any) -> Sequence[Mapping[str, Any]]:
    if not isinstance(value, list):
        raise UsageError("dataset_file.not_tables")
    return [_table(item) for item in value]
