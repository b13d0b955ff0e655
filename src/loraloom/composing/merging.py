"""Several adapters in one: the weighted sum of what they do to each weight, or a vote on it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeVar, final

from torch import Tensor

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.lora import Lora
from loraloom.adapters.span import Place
from loraloom.composing.base_weights import BaseWeights
from loraloom.composing.card import merged_card, merged_embeddings
from loraloom.composing.change import Change, Dense, Product, inner, total
from loraloom.composing.concatenation import concatenate
from loraloom.composing.draws import stream
from loraloom.composing.evaluation import change_of
from loraloom.composing.fit import Composition, Fit, Made
from loraloom.composing.inspection import check_finite
from loraloom.composing.magnitude import least_magnitude
from loraloom.composing.mode import SPARSE, MergeSettings, Thinning
from loraloom.composing.representation import compared, represented, whole
from loraloom.composing.sparsity import dropped, threshold, trimmed
from loraloom.composing.terms import Term, terms_by_place
from loraloom.composing.truncation import Truncation
from loraloom.composing.weights import (
    NORMALIZERS,
    Summed,
    Weight,
    check_weights,
    is_worn,
    weight_at,
    written,
)
from loraloom.errors import UsageError

_EXACT: Final = MergeSettings()


def merge(
    adapters: Mapping[str, Adapter],
    weights: Mapping[str, Weight],
    settings: MergeSettings = _EXACT,
    base: BaseWeights | None = None,
    name: str = "",
) -> Composition:
    """Return one adapter that does what the given ones do together, each at its weight.

    What is merged is the change of each weight of the model, never the factors one by one: worn at
    1, the result equals the adapters worn together (with `cat`; with `svd` up to the error that is
    told). Where an adapter has weight 0 it leaves nothing, not even its rank. The order of the
    adapters makes no difference to any bit of a delta. Kinds whose change depends on the base's
    weight need `base`; spans that have to be cut need it where nothing else knows their rows.
    """
    check_weights(adapters, weights)
    made = merge_places(adapters, weights, settings, base)
    return merged(made, adapters, weights, settings, name)


def merged(
    made: Iterable[Made],
    adapters: Mapping[str, Adapter],
    weights: Mapping[str, Weight],
    settings: MergeSettings = _EXACT,
    name: str = "",
) -> Composition:
    """Collect what `merge_places` yields into one adapter, with its card and embeddings."""
    worn = {each: adapter for each, adapter in adapters.items() if is_worn(adapter, weights[each])}
    card = merged_card(worn, _facts(weights, settings), name)
    return Composition.of(made, card, merged_embeddings(worn))


def merge_places(
    adapters: Mapping[str, Adapter],
    weights: Mapping[str, Weight],
    settings: MergeSettings = _EXACT,
    base: BaseWeights | None = None,
    least: Mapping[str, float] | None = None,
) -> Iterator[Made]:
    """Yield what `merge` collects, weight by weight, in the order of their names.

    `least` is what `least_magnitudes` returns, if somebody has asked it already.
    """
    check_weights(adapters, weights)
    terms_at = terms_by_place(adapters, weights, settings.law, base)
    if not terms_at:
        raise UsageError("composing.nothing")
    for terms in terms_at.values():
        for term in terms:
            check_finite(term.place, term.delta)
    if least is None:
        least = _last(_least_magnitudes(terms_at, settings))
    make = _EXACTLY.get(settings.mode, _thinned_out)
    for place, terms in terms_at.items():
        numbers = sorted(weight_at(each, place.sites[0]) for each in weights.values())
        yield make(_Task(place, terms, numbers, settings, least))


@final
@dataclass(frozen=True)
class _Task:
    """What there is to merge at one place.

    `numbers` are the weights of all adapters there, those included that do not touch it. `least`
    holds the magnitudes below which an adapter's entries are trimmed, if one is for all weights.
    """

    place: Place
    terms: Sequence[Term]
    numbers: Sequence[float]
    settings: MergeSettings
    least: Mapping[str, float]

    def factor(self, summed: Summed) -> float:
        """Return what the merged change is multiplied by."""
        settings = self.settings
        return settings.scale / NORMALIZERS[settings.normalize](self.numbers, summed)

    def changes(self) -> list[Change]:
        """Return what each adapter adds."""
        return [term.change() for term in self.terms]

    def summed(self) -> tuple[Change, Sequence[Change]]:
        """Return the sum of the changes, and them."""
        changes = self.changes()
        return total(changes), changes


def _side_by_side(task: _Task) -> Made:
    """Merge exactly: one delta as its own kind, LoRAs as one LoRA, else as `whole` has it."""
    factor = task.factor(task.summed)
    uncut = [term for term in task.terms if term.rows is None]
    loras = [(each.strength * factor, each.delta) for each in uncut if isinstance(each.delta, Lora)]
    alone = uncut[0].alone(factor) if len(uncut) == len(task.terms) == 1 else None
    if alone is not None:
        delta = alone
    elif len(loras) == len(task.terms):
        shapes = [term.target_shape for term in task.terms if term.target_shape is not None]
        delta = concatenate(loras, max(shapes, key=len))
    else:
        delta = whole(task.summed()[0].times(factor))
    return delta, Fit(place=task.place, kind=delta.kind, rank=delta.rank, strength=factor)


def _decomposed(task: _Task) -> Made:
    """Merge into the nearest LoRA of the asked rank."""
    changes = task.changes()
    merged = total(changes)
    factor = task.factor(lambda: (merged, changes))
    truncation = task.settings.truncation or _largest_rank(task.place, changes)
    delta, fit = represented(task.place, merged.times(factor), truncation, task.settings.seed)
    return delta, replace(fit, strength=factor * fit.energy)


def _largest_rank(place: Place, changes: Sequence[Change]) -> Truncation | None:
    """Return the rank of an svd merge that asks for none."""
    ranks = [change.left.shape[1] for change in changes if isinstance(change, Product)]
    if len(ranks) < len(changes) and len(changes[0].shape) > 1:
        raise UsageError("composing.svd_rank", site=place)
    return Truncation.to(max(ranks)) if ranks else None


_Make: TypeAlias = Callable[[_Task], Made]

_EXACTLY: Final[Mapping[str, _Make]] = MappingProxyType({"cat": _side_by_side, "svd": _decomposed})


def _thinned_out(task: _Task) -> Made:
    """Merge what is left of each change when most of its entries are gone."""
    thinning, addition = SPARSE[task.settings.mode]
    changes = task.changes()
    thin = [
        _THINNINGS[thinning](task, term, change.entries())
        for term, change in zip(task.terms, changes, strict=True)
    ]
    plain = total(changes)
    merged = Dense(addition(thin), plain.shape)
    factor = task.factor(lambda: (merged, changes))
    settings = task.settings
    delta, fit = represented(task.place, merged.times(factor), settings.truncation, settings.seed)
    square = plain.norm() ** 2
    along = inner(change_of(delta, 1.0, plain.shape, None), plain)
    strength = along / square if square else None
    return delta, replace(compared(fit, plain.times(factor), delta), strength=strength)


def _trim(task: _Task, term: Term, matrix: Tensor) -> Tensor:
    least = task.least.get(term.adapter)
    if least is None:
        least = threshold(lambda: [matrix], task.settings.share)
    return trimmed(matrix, least)


def _drop(task: _Task, term: Term, matrix: Tensor) -> Tensor:
    draws = stream(task.settings.seed, "drop", term.adapter, task.place)
    return dropped(matrix, task.settings.share, draws)


_THINNINGS: Final[Mapping[Thinning, Callable[[_Task, Term, Tensor], Tensor]]] = MappingProxyType(
    {"trim": _trim, "drop": _drop}
)


def least_magnitudes(
    adapters: Mapping[str, Adapter],
    weights: Mapping[str, Weight],
    settings: MergeSettings,
    base: BaseWeights | None = None,
) -> Generator[None, None, dict[str, float]]:
    """Return the magnitude from which an adapter's entries are kept, over all its weights.

    Empty where a mode needs none. Yields after each weight of each adapter that was looked at.
    """
    check_weights(adapters, weights)
    return _least_magnitudes(terms_by_place(adapters, weights, settings.law, base), settings)


def _least_magnitudes(
    terms_at: Mapping[Place, Sequence[Term]], settings: MergeSettings
) -> Generator[None, None, dict[str, float]]:
    trims = settings.mode in SPARSE and SPARSE[settings.mode][0] == "trim"
    if not trims or settings.trim == "weight":
        return {}
    by_adapter: dict[str, list[Term]] = {}
    for terms in terms_at.values():
        for term in terms:
            check_finite(term.place, term.delta)
            by_adapter.setdefault(term.adapter, []).append(term)
    found: dict[str, float] = {}
    for name, terms in by_adapter.items():
        found[name] = yield from least_magnitude([term.change for term in terms], settings.share)
    return found


_Result = TypeVar("_Result")


def _last(steps: Generator[None, None, _Result]) -> _Result:
    """Return what a generator returns in the end."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _facts(weights: Mapping[str, Weight], settings: MergeSettings) -> dict[str, Any]:
    """Return how a merge was made, for the card."""
    told = {name: written(weight) for name, weight in weights.items()}
    chosen = {key: value for key, value in asdict(settings).items() if value is not None}
    return {"tool": "merge", "weights": told, **chosen}
