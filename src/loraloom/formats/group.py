"""The tensors of a file that make up a delta, or those of several weights stacked by rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import final

from loraloom.adapters.span import Place, Span
from loraloom.errors import ModelError
from loraloom.formats.contents import Contents
from loraloom.formats.endings import NUMBERS, ON_INPUT, Ending
from loraloom.formats.layout import VECTORS, Claimed, Layout, Shapes, layout_of
from loraloom.formats.naming.meaning import Halves, Meaning
from loraloom.formats.outline import Layer
from loraloom.formats.rearrangement import REARRANGEMENTS, Settings


@final
@dataclass(frozen=True, kw_only=True)
class Group:
    """What one name of a module holds.

    `keys` and `endings` are by part, alpha included; `shapes` are those of the parts proper, after
    rearrangement. `rows` are the row counts of the weights, if they are known.
    """

    meaning: Meaning
    keys: Mapping[str, str]
    endings: Mapping[str, Ending]
    shapes: Shapes
    layout: Layout
    settings: Settings
    rows: tuple[int | None, ...] | None = None
    is_swapped: bool = False

    @property
    def row_axes(self) -> Mapping[str, int] | None:
        """The parts that are cut when the weight is cut into rows, and along which dimension."""
        return self.layout.rows(self.shapes, self.settings)

    @property
    def is_split(self) -> bool:
        """Whether the one delta in the file becomes one for each weight."""
        is_counted = self.rows is not None and None not in self.rows
        return len(self.meaning.sites) > 1 and is_counted and self.row_axes is not None

    @property
    def places(self) -> tuple[Place, ...]:
        """Where the deltas go."""
        sites = self.meaning.sites
        return sites if self.is_split or len(sites) == 1 else (Span(sites, self.rows or ()),)

    @property
    def counts(self) -> tuple[int, ...]:
        """The row counts of a group that is split."""
        return tuple(count for count in self.rows or () if count is not None)

    @property
    def is_low_rank(self) -> bool:
        """Whether the delta is of two factors, `up` with the weight's rows and `down` without."""
        return "down" in self.shapes and "mid" not in self.shapes

    @property
    def rank(self) -> int | None:
        """The rank of the factors in the file."""
        return self.layout.rank(self.shapes)

    @property
    def name(self) -> str:
        """The weights, for messages."""
        return str(place_of(self.meaning))

    @property
    def swapped_axes(self) -> Mapping[str, int]:
        """The parts whose halves change places with those of the weight's rows."""
        return self.layout.halved(self.shapes, self.settings) if self.is_swapped else {}

    def layers(self) -> Mapping[Place, Layer]:
        """Return what is done at each place, as far as shapes tell."""
        shapes, weight = self.shapes, self.layout.weight(self.shapes, self.settings)
        if not self.is_split:
            return {self.places[0]: self._layer(weight, shapes)}
        layers: dict[Place, Layer] = {}
        for site, rows in zip(self.meaning.sites, self.counts, strict=True):
            own = dict(shapes)
            for part, axis in (self.row_axes or {}).items():
                own[part] = (*shapes[part][:axis], rows, *shapes[part][axis + 1 :])
            layers[site] = self._layer((rows, *weight[1:]), own)
        return layers

    def _layer(self, weight: Claimed, shapes: Shapes) -> Layer:
        return Layer(
            kind=self.layout.kind,
            rank=self.layout.rank(shapes),
            alpha=None,
            weight=weight,
            shapes=shapes,
            settings=self.settings,
        )


def grouped(
    contents: Contents,
    keys: Mapping[Meaning, Mapping[str, str]],
    endings: Mapping[str, Ending],
    numbers: Mapping[str, float],
    rows: Mapping[Meaning, tuple[int | None, ...]],
) -> tuple[Group, ...]:
    """Return the groups that a file's tensors make; parts that make no kind are a `ModelError`.

    `keys` are the tensors' names by what they mean and the part, `endings` are by name, `numbers`
    the values of the tensors of one number, `rows` the row counts that a file tells itself.
    """
    where = contents.where
    groups: list[Group] = []
    for meaning, own in keys.items():
        parts = {part: endings[key] for part, key in own.items()}
        settings, shapes = _told_by_shapes(contents, own, parts)
        if ON_INPUT in own:
            settings = {**settings, ON_INPUT: bool(numbers[own[ON_INPUT]])}
        stems = {ending.stem for ending in parts.values()} - {""}
        layout = layout_of(stems.pop(), shapes) if len(stems) == 1 else None
        if layout is None:
            found = ", ".join(sorted(own)) or "-"
            raise ModelError("format.parts", where=where, site=place_of(meaning), parts=found)
        groups.append(
            Group(
                meaning=meaning,
                keys=own,
                endings=parts,
                shapes=shapes,
                layout=layout,
                settings=settings,
            )
        )
    return tuple(_with_rows(groups, rows, where))


def _told_by_shapes(
    contents: Contents, keys: Mapping[str, str], endings: Mapping[str, Ending]
) -> tuple[Settings, Shapes]:
    settings: dict[str, bool | int | float | str] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for part, key in keys.items():
        if part in NUMBERS:
            continue
        rearrangement = REARRANGEMENTS[endings[part].rearrangement]
        shape = rearrangement.shape(contents.shapes[key])
        if shape is None or 0 in shape or len(shape) < (1 if part in VECTORS else 2):
            found = ", ".join(f"{each} {contents.shapes[name]}" for each, name in keys.items())
            raise ModelError("format.shapes", where=contents.where, site=key, found=found)
        shapes[part] = shape
        settings |= rearrangement.settings(contents.shapes[key])
    return settings, shapes


def _with_rows(
    groups: Iterable[Group], told: Mapping[Meaning, tuple[int | None, ...]], where: str
) -> Iterable[Group]:
    """Yield the groups with the rows of each weight counted, and their order told."""
    groups = tuple(groups)
    weights = {each.meaning: each.layout.weight(each.shapes, each.settings) for each in groups}
    for group in groups:
        meaning, weight = group.meaning, weights[group.meaning]
        if len(meaning.sites) == 1 and meaning.halves is Halves.KEPT:
            yield group
            continue
        own = weight if len(weight) > 1 else weights.get(meaning.of("weight"), weight)
        rows, columns = next(iter(weight), None), own[1] if len(own) > 1 else None
        counts = (
            told.get(meaning)
            if rows is None or meaning in told
            else meaning.rows.counts(len(meaning.sites), rows, -1 if columns is None else columns)
        )
        known = rows is not None and columns is not None
        if counts is None and known and group.row_axes is not None:
            raise ModelError("format.rows", where=where, site=place_of(meaning), found=weight)
        swap = is_swapped(meaning, rows, columns)
        group = replace(group, rows=counts, is_swapped=bool(swap))
        if swap is None or (swap and not group.swapped_axes):
            kind = group.layout.kind
            raise ModelError("format.halves", where=where, site=place_of(meaning), kind=kind)
        yield group


def is_swapped(meaning: Meaning, rows: int | None, columns: int | None) -> bool | None:
    """Whether the halves of the rows have changed places; None if that cannot be known."""
    if meaning.halves is Halves.SWAPPED_IF_TWO and (rows is None or columns is None):
        return None
    return meaning.halves.swaps(rows or 0, columns or 0)


def place_of(meaning: Meaning) -> Place:
    """Return the weight that is meant, or the run of weights."""
    site = meaning.site
    return Span(meaning.sites) if site is None else site
