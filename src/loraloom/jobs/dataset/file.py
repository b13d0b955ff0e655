"""A data set's own file in kohya's form: `[general]`, `[[datasets]]`, `[[datasets.subsets]]`."""

# What a parser of TOML returns is any mix of mappings, lists and scalars.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, final

from loraloom.data.options import DataOptions
from loraloom.data.source import Source
from loraloom.errors import LoraLoomError, UsageError
from loraloom.events import Warned
from loraloom.jobs.foreign import FOREIGN
from loraloom.jobs.keys import Key, index, keys_of, nearest, plain
from loraloom.jobs.settling import Given, collect, raise_all, settle
from loraloom.options import AbstractOptions, option

SUFFIX: Final = ".toml"
"""The ending of such a file, which tells it from a folder."""

# The levels of the file, outermost first; a key that an inner one has wins over an outer one's.
_GENERAL, _DATASET, _SUBSET = "[general]", "[[datasets]]", "[[datasets.subsets]]"

# sd-scripts takes these for a whole data set only.
_WHOLE: Final = (
    "resolution",
    "batch_size",
    "enable_bucket",
    "min_bucket_reso",
    "max_bucket_reso",
    "bucket_reso_steps",
    "bucket_no_upscale",
)
# These say what a subset is, so they stand in its own table alone.
_OWN: Final = ("image_dir", "is_reg")
# Keys of sd-scripts that stand in such a file only, and that nothing here answers to.
_ABSENT: Final = (
    "cache_info",
    "custom_attributes",
    "face_crop_aug_range",
    "metadata_file",
    "network_multiplier",
    "resize_interpolation",
    "skip_image_resolution",
    "token_warmup_min",
    "validation_seed",
    "validation_split",
)
_RENAMED: Final = {"batch_size": "train_batch_size"}

_HEADER = re.compile(r"""\s*(\[{1,2})\s*["']?([\w.-]+)""")
_KEY = re.compile(r"""\s*["']?([\w-]+)["']?\s*=""")

_Values = dict[str, Given]
_Place = tuple[int, int]


@final
class SubsetOptions(AbstractOptions):
    """What one subset of such a file may say of itself."""

    image_dir: Path = option(en="Folder of its pictures.", ko="이미지 폴더.")
    num_repeats: int = option(
        1,
        en="How often an epoch shows each picture.",
        ko="한 에포크에 이미지마다 학습할 횟수.",
        ge=1,
        le=10**6,
    )
    class_tokens: str = option(
        "",
        en="Caption of pictures that have none of their own.",
        ko="캡션이 없는 이미지에 쓸 캡션.",
    )
    is_reg: bool = option(
        False,
        en="The pictures show the class, not what is to be learnt.",
        ko="배울 대상이 아니라 클래스를 보여 주는 정규화 이미지.",
    )
    caption_extension: str | None = option(
        None, en="Extension of its caption files.", ko="캡션 파일의 확장자."
    )
    caption_column: str | None = option(
        None, en="Column of its metadata table.", ko="메타데이터 표에서 캡션이 있는 열."
    )
    recursive: bool = option(False, en="Take the folders below too.", ko="하위 폴더까지 씁니다.")
    weight: float = option(
        1.0,
        en="Factor of the loss of its pictures.",
        ko="이 이미지들의 손실에 곱할 값.",
        aliases=("loss_weight",),
        gt=0,
    )


@final
@dataclass(frozen=True, kw_only=True)
class DatasetFile:
    """The subsets of a file, and the keys that hold for the run, by their canonical name."""

    sources: tuple[Source, ...]
    shared: Mapping[str, Given]
    notes: tuple[Warned, ...]


def read_dataset_file(path: Path) -> DatasetFile:
    """Read a file of kohya's form; all that is off is told in one `UsageError`.

    Beside kohya's keys a subset may have `weight`, `recursive` and `caption_column`. A key that
    all subsets agree on holds for the run; another one is in the settings of its source. A
    relative `image_dir` starts at the working folder, as in sd-scripts.
    """
    text, content = _content(path)
    lines = _lines(text)

    def place(where: _Place, key: str) -> str:
        line = lines.get((where, key))
        return path.name if line is None else f"{path.name}:{line}"

    reader = _Reader(place, [], [])
    tables = list(reader.subsets(content))
    if not tables and not reader.errors:
        raise UsageError("dataset_file.no_subsets", path=path)
    subsets = collect(reader.errors, [partial(_Subset.of, table) for table in tables])
    raise_all(reader.errors)
    shared = _shared(subsets)
    sources = tuple(subset.source(without=shared) for subset in subsets)
    return DatasetFile(sources=sources, shared=shared, notes=tuple(reader.notes))


def with_dataset_file(adapter: Mapping[str, Given]) -> Mapping[str, Given]:
    """Return an adapter's values with those that its data set file sets for the whole run.

    What the adapter says itself wins. Without a trigger its name is the file's.
    """
    place = adapter.get("train_data_dir")
    if place is None or Path(str(place.value)).suffix.lower() != SUFFIX:
        return adapter
    path = Path(str(place.value))
    name = {} if "trigger" in adapter else {"name": Given(spelling="name", value=path.stem)}
    return {**name, **read_dataset_file(path).shared, **adapter}


@final
@dataclass(frozen=True)
class _Reader:
    """Reads the levels of a file and collects what is off, so that all is told at once."""

    place: Callable[[_Place, str], str]
    errors: list[LoraLoomError]
    notes: list[Warned]

    def subsets(self, content: Mapping[str, Any]) -> Iterator[_Values]:
        """Yield the values of each subset, those of the levels above included."""
        for key, value in content.items():
            given = Given(spelling=key, value=value, place=self.place((-1, -1), key))
            if plain(key) in (*known_keys(), *_WHOLE):
                level = _SUBSET if plain(key) in _OWN else _GENERAL
                self.errors.append(UsageError("dataset_file.level", given=given, level=level))
            elif key not in ("general", "datasets"):
                self._fail(given)
        general = self._values(_table(content.get("general", {})), (-1, -1), _GENERAL)
        for number, dataset in enumerate(_tables(content.get("datasets", []))):
            plain_keys = {key: value for key, value in dataset.items() if key != "subsets"}
            whole = general | self._values(plain_keys, (number, -1), _DATASET)
            for inner, subset in enumerate(_tables(dataset.get("subsets", []))):
                yield whole | self._values(subset, (number, inner), _SUBSET)

    def _values(self, table: Mapping[str, Any], where: _Place, level: str) -> _Values:
        found: _Values = {}
        for key, value in table.items():
            given = Given(spelling=key, value=value, place=self.place(where, key))
            name = plain(key)
            if (name in _WHOLE and level == _SUBSET) or (name in _OWN and level != _SUBSET):
                right = _DATASET if name in _WHOLE else _SUBSET
                self.errors.append(UsageError("dataset_file.level", given=given, level=right))
            elif name in known_keys() or name in _RENAMED:
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
                self.notes.append(Warned(code=f"held.{foreign.why}", details={"key": given.named}))
            case "refused":
                self.errors.append(UsageError(f"foreign.{foreign.why}", key=given.named))
            case "off":
                pass

    def _fail(self, given: Given) -> None:
        name = plain(given.spelling)
        if name in _ABSENT:
            error = UsageError("dataset_file.not_offered", key=given.named)
        elif near := nearest(name, [*known_keys(), *_WHOLE, "general", "datasets", "subsets"]):
            error = UsageError("recipe.unknown_near", key=given.named, near=near)
        else:
            error = UsageError("dataset_file.unknown", key=given.named)
        self.errors.append(error)


@cache
def known_keys() -> Mapping[str, Key]:
    """Return the keys of a subset by spelling: its own, then the options of training data."""
    own = index(keys_of(SubsetOptions))
    data = {
        spelling: key
        for spelling, key in index(keys_of(DataOptions)).items()
        if key.name not in ("train_data_dir", "trigger")
    }
    return {**data, **own}


@final
@dataclass(frozen=True)
class _Subset:
    """One subset: what it says of itself, and its options of training, as written and settled."""

    own: SubsetOptions
    given: Mapping[str, Given]
    data: DataOptions

    @classmethod
    def of(cls, table: Mapping[str, Given]) -> _Subset:
        """Settle a subset's values; what is off is a `UsageError`."""
        names = {key.name for key in keys_of(SubsetOptions)}
        found = {_canonical(spelling): given for spelling, given in table.items()}
        own = settle(SubsetOptions, {name: g for name, g in found.items() if name in names})
        given = {name: g for name, g in found.items() if name not in names}
        data = {name: g for name, g in given.items() if name in DataOptions.model_fields}
        folder = Given(spelling="image_dir", value=str(own.image_dir))
        return cls(own, given, settle(DataOptions, {**data, "train_data_dir": folder}))

    def source(self, *, without: Mapping[str, Given]) -> Source:
        """Return the source, with the settings that do not hold for the whole run."""
        own = self.own
        return Source(
            folder=own.image_dir,
            repeats=own.num_repeats,
            literal=True,
            words=own.class_tokens,
            recursive=own.recursive,
            caption_extension=own.caption_extension,
            caption_column=own.caption_column,
            regularisation=own.is_reg,
            weight=own.weight,
            label=str(own.image_dir),
            settings={n: getattr(self.data, n) for n in self.given if n not in without},
        )


def _canonical(spelling: str) -> str:
    return _RENAMED.get(spelling) or known_keys()[spelling].name


def _shared(subsets: Sequence[_Subset]) -> Mapping[str, Given]:
    """Return the keys on which all subsets agree; those of whole data sets must be among them."""
    first, *others = subsets
    agreed = {
        name: given
        for name, given in first.given.items()
        if all(name in each.given and each.given[name].value == given.value for each in others)
    }
    whole = {_RENAMED.get(name, name) for name in _WHOLE}
    for subset in subsets:
        for name, given in subset.given.items():
            if name in whole and name not in agreed:
                raise UsageError("dataset_file.differ", given=given)
    return agreed


def _content(path: Path) -> tuple[str, Mapping[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        return text, tomllib.loads(text)
    except OSError as error:
        raise UsageError("recipe.unreadable", path=path, reason=error.strerror) from error
    except ValueError as error:  # of the form, of UTF-8, or of a number with thousands of digits
        raise UsageError("recipe.not_toml", path=path, reason=error) from error


def _lines(text: str) -> Mapping[tuple[_Place, str], int]:
    """Find the line of each key by the numbers of its data set and subset, -1 for none."""
    found: dict[tuple[_Place, str], int] = {}
    dataset, subset = -1, -1
    where: _Place = (-1, -1)
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            if header[2] == "datasets":
                dataset, subset = dataset + 1, -1
            subset += header[2] == "datasets.subsets"
            where = (-1, -1) if header[2] == "general" else (dataset, subset)
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
