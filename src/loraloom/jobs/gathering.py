"""The sources of a recipe laid over each other: files in their order, then flags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from loraloom.errors import LoraLoomError, UsageError
from loraloom.events import Warned
from loraloom.jobs.foreign import FOREIGN
from loraloom.jobs.keys import Key, nearest, plain
from loraloom.jobs.layers import TABLES, Layer
from loraloom.jobs.naming import is_file_safe
from loraloom.jobs.packed import PACKED
from loraloom.jobs.settling import Given, check_letters, raise_all

Values = dict[str, Given]


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """What was asked for, by canonical key: of the run, of each adapter, and what to mention."""

    run: Mapping[str, Given]
    adapters: Sequence[Mapping[str, Given]]
    notes: tuple[Warned, ...]


@dataclass(frozen=True)
class _Reader:
    """Reads keys by their spellings and collects what is off, so that all is told at once."""

    run: Mapping[str, Key]
    adapter: Mapping[str, Key]
    errors: list[LoraLoomError] = field(default_factory=list[LoraLoomError])
    notes: list[Warned] = field(default_factory=list[Warned])

    def values(self, items: Sequence[Given], known: Mapping[str, Key]) -> Values:
        found: Values = {}
        for item in items:
            try:
                for given in self._unpacked(item):
                    self._take(given, known, found)
            except UsageError as error:
                self.errors.append(error)
        return found

    def _unpacked(self, item: Given) -> Iterator[Given]:
        packed = PACKED.get(plain(item.spelling))
        return packed.unpack(item) if packed else iter((item,))

    def _take(self, item: Given, known: Mapping[str, Key], found: Values) -> None:
        spelling = plain(item.spelling)
        if spelling in known:
            key = known[spelling]
            check_letters(key, item, is_kept=True)  # in the run's own recipe file
            if (first := found.setdefault(key.name, item)) is not item:
                raise UsageError("recipe.twice", first=first.named, second=item.named)
        elif spelling in FOREIGN:
            self._judge(item)
        elif spelling in self.run or spelling in self.adapter:
            raise UsageError("recipe.not_of_adapter", given=item, table=TABLES)
        elif near := nearest(spelling, known):
            raise UsageError("recipe.unknown_near", key=item.named, near=near)
        else:
            raise UsageError("recipe.unknown", key=item.named)

    def _judge(self, item: Given) -> None:
        foreign = FOREIGN[plain(item.spelling)]
        match foreign.verdict(item.value):
            case "held":
                details = {"key": item.named}
                self.notes.append(
                    Warned(code=f"held.{foreign.why}", details=details, severity="note")
                )
            case "refused":
                raise UsageError(f"foreign.{foreign.why}", key=item.named)
            case "off":
                pass


def gather(
    files: Sequence[Layer], flags: Layer, run: Mapping[str, Key], adapter: Mapping[str, Key]
) -> Gathered:
    """Lay sources over each other, `run` and `adapter` being all keys by spelling.

    What is written at the top is the default of every adapter, an adapter's own table wins over
    it, and a flag wins over both. Tables of one name in several files are one adapter.
    """
    reader = _Reader(run, adapter)
    everywhere = {**{s: k for s, k in adapter.items() if k.name != "name"}, **run}
    top: Values = {}
    tables: list[Values] = []
    for layer in files:
        top |= reader.values(layer.top, everywhere)
        _join(tables, [reader.values(table, adapter) for table in layer.adapters])
    flagged = reader.values(flags.top, everywhere)
    own = [reader.values(table, adapter) for table in flags.adapters]
    _one_folder(flagged, tables, own, reader.errors)
    raise_all(reader.errors)
    of_adapter = {key.name for key in adapter.values()}
    shared = {name: given for name, given in flagged.items() if name in of_adapter}
    tables = [{**table, **shared} for table in tables]
    _join(tables, [{**shared, **table} for table in own])
    default = {name: given for name, given in top.items() if name in of_adapter} | shared
    of_run = {name: given for name, given in (top | flagged).items() if name not in of_adapter}
    name = of_run.get("output_name")
    if name and isinstance(name.value, str) and name.value and not is_file_safe(name.value):
        raise UsageError("recipe.name_unsafe", given=name)
    return Gathered(
        run=of_run,
        adapters=_named([{**default, **table} for table in tables or [{}]], top, flagged, own),
        notes=tuple(reader.notes),
    )


def _join(tables: list[Values], more: Sequence[Values]) -> None:
    """Add tables; one that has the name of an earlier one goes over it."""
    for table in more:
        name = table.get("name")
        earlier = next((t for t in tables if name and _name(t) == name.value), None)
        if earlier is None:
            tables.append(table)
        else:
            earlier |= table


def _name(table: Values) -> object:
    return table["name"].value if "name" in table else None


def _one_folder(
    flagged: Values, tables: Sequence[Values], own: Sequence[Values], errors: list[LoraLoomError]
) -> None:
    """Refuse one folder given for several adapters that have folders of their own."""
    folders = sum("train_data_dir" in table for table in (*tables, *own))
    if "train_data_dir" in flagged and (folders > 1 or own):
        errors.append(UsageError("recipe.one_folder", given=flagged["train_data_dir"]))


def _named(
    tables: Sequence[Values], top: Values, flagged: Values, own: Sequence[Values]
) -> Sequence[Values]:
    """Let the run's output name be the name of an adapter that is alone."""
    if len(tables) != 1 or any("name" in table for table in own):
        return tables
    name = flagged.get("output_name") or tables[0].get("name") or top.get("output_name")
    return [{**tables[0], "name": name}] if name else tables
