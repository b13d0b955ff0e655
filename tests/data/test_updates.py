"""Steps: every picture exactly its repeats an epoch, one bucket a batch, the class beside."""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import groupby
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from loraloom.data.bucket import Bucketing
from loraloom.data.example import Example
from loraloom.data.updates import Updates, count_epoch
from loraloom.jobs.dataset.steps import buckets_of, fits_of

RULE = Bucketing(resolution=(128, 128), step=32, smallest=64, largest=256)

_SUBSETS = st.lists(
    st.tuples(
        st.integers(1, 5),  # repeats
        st.lists(st.tuples(st.integers(20, 600), st.integers(20, 600)), min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=4,
)


def _examples(subsets, *, regularisation=False):
    return tuple(
        Example(
            path=Path(f"{number}/{index}.png"),
            caption="",
            width=width,
            height=height,
            repeats=repeats,
            subset=str(number),
            regularisation=regularisation,
        )
        for number, (repeats, sizes) in enumerate(subsets)
        for index, (width, height) in enumerate(sizes)
    )


def _updates(examples, sizes, batch_size, accumulation, seed=0):
    return Updates(
        examples,
        sizes,
        batch_size=batch_size,
        accumulation=accumulation,
        generator=random.Random(f"{seed}/order"),
        regularisation_generator=random.Random(f"{seed}/regularisation"),
    )


@given(_SUBSETS, st.just([]) | _SUBSETS, st.integers(1, 7), st.integers(1, 4), st.integers(0, 99))
def test_an_epoch_uses_each_picture_exactly_its_repeats(
    subsets, class_subsets, batch_size, accumulation, seed
):
    examples = _examples(subsets) + _examples(class_subsets, regularisation=True)
    random.Random(seed).shuffle(shuffled := list(examples))
    sizes = [RULE.fit(example.width, example.height).bucket for example in shuffled]
    epoch = count_epoch(shuffled, sizes, batch_size=batch_size, accumulation=accumulation)
    updates = _updates(shuffled, sizes, batch_size, accumulation, seed)
    class_uses = Counter()
    for number in (1, 2, 3):
        drawn = [next(updates) for _ in range(epoch.steps)]
        assert {update.epoch for update in drawn} == {number}
        steps = [update.step for update in drawn]
        assert steps == list(range((number - 1) * epoch.steps, number * epoch.steps))
        uses = Counter()
        for update in drawn:
            taught = [shuffled[i] for batch in update.batches for i in batch]
            shown = [example for example in taught if example.regularisation]
            class_uses.update(shown_index for shown_index in _indices(update, shuffled, True))
            uses.update(_indices(update, shuffled, False))
            # As many of the class as of the others, in every step.
            assert len(shown) == (len(taught) - len(shown) if class_subsets else 0)
            for batch in update.batches:
                assert len({sizes[i] for i in batch}) == 1
                assert len({shuffled[i].regularisation for i in batch}) == 1
                assert 1 <= len(batch) <= batch_size
        expected = {i: e.repeats for i, e in enumerate(shuffled) if not e.regularisation}
        assert uses == expected
    # Pictures of the class take turns: none is a whole round ahead of another.
    rounds = [class_uses[i] / e.repeats for i, e in enumerate(shuffled) if e.regularisation]
    assert not rounds or max(rounds) < min(rounds) + 1 + 1e-9
    assert next(updates).epoch == 4


def _indices(update, examples, regularisation):
    every = (i for batch in update.batches for i in batch)
    return [i for i in every if examples[i].regularisation == regularisation]


@given(_SUBSETS, st.integers(1, 7))
def test_steps_are_kohyas_count_of_batches(subsets, batch_size):
    examples = _examples(subsets)
    fits = fits_of(examples, RULE)
    sizes = [fit.bucket for fit in fits]
    uses = sorted(size for size, e in zip(sizes, examples, strict=True) for _ in range(e.repeats))
    by_hand = {size: -(-len(list(same)) // batch_size) for size, same in groupby(uses)}
    epoch = count_epoch(examples, sizes, batch_size=batch_size)
    assert epoch.batches == by_hand
    assert epoch.steps == sum(by_hand.values())
    told = buckets_of(examples, fits, batch_size)
    assert {tuple(each["size"]): each["batches"] for each in told} == by_hand
    assert sum(each["uses"] for each in told) == epoch.uses == len(uses)
    assert sum(each["images"] for each in told) == len(examples)


def test_a_restored_course_goes_on_exactly():
    examples = _examples([(2, [(128, 128), (200, 60)]), (1, [(60, 200)] * 3)])
    examples += _examples([(1, [(128, 128)] * 5)], regularisation=True)
    sizes = [RULE.fit(example.width, example.height).bucket for example in examples]
    one = _updates(examples, sizes, 2, 2)
    for _ in range(4):
        next(one)
    state = json.loads(json.dumps(one.state()))
    other = _updates(examples, sizes, 2, 2, seed=1)
    next(other)
    other.restore(state)
    assert [next(other) for _ in range(9)] == [next(one) for _ in range(9)]


def test_the_course_of_the_pictures_does_not_depend_on_those_of_the_class():
    taught = _examples([(1, [(128, 128)] * 6)])
    of_class = _examples([(1, [(128, 128)] * 4)], regularisation=True)
    alone = _updates(taught, [None] * 6, 2, 1)
    beside = _updates(taught + of_class, [None] * 10, 2, 1)
    for _ in range(9):
        assert next(alone).batches == next(beside).batches[:1]
