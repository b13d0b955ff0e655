"""The order of pictures: fair in each epoch, its own, and the same after a restart."""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from loraloom.data.order import Order, epoch_order

_REPEATS = st.lists(st.integers(1, 5), min_size=1, max_size=12)


@given(_REPEATS, st.integers(1, 9), st.integers(0, 99), st.integers(1, 3))
def test_each_epoch_uses_every_picture_exactly_its_repeats(repeats, batch_size, seed, epochs):
    order = Order(repeats, batch_size=batch_size, generator=random.Random(seed))
    assert order.epoch == 0
    for epoch in range(1, epochs + 1):
        draws = list(islice(order, order.batches_per_epoch))
        assert order.epoch == epoch
        assert {draw.epoch for draw in draws} == {epoch}
        uses = Counter(index for draw in draws for index in draw.indices)
        assert uses == dict(enumerate(repeats))
        sizes = [len(draw.indices) for draw in draws]
        assert set(sizes[:-1]) <= {batch_size}
        assert 1 <= sizes[-1] <= batch_size


@given(_REPEATS, st.integers(0, 99))
def test_an_epoch_is_a_shuffle_of_its_repeats(repeats, seed):
    order = epoch_order(repeats, random.Random(seed))
    expected = [index for index, times in enumerate(repeats) for _ in range(times)]
    random.Random(seed).shuffle(expected)
    assert list(order) == expected


def test_epochs_differ_from_each_other():
    order = Order([1] * 20, batch_size=20, generator=random.Random(0))
    assert len({draw.indices for draw in islice(order, 10)}) == 10


def test_the_order_depends_on_its_own_generator_alone():
    def draws(seed, disturb):
        order = Order([2, 1, 3], batch_size=2, generator=random.Random(seed))
        result = []
        for _ in range(20):
            if disturb:
                random.random()
            result.append(next(order))
        return result

    assert draws(0, disturb=False) == draws(0, disturb=True)
    assert draws(0, disturb=False) != draws(1, disturb=False)


@given(_REPEATS, st.integers(1, 5), st.integers(0, 30))
def test_a_restored_order_goes_on_exactly(repeats, batch_size, taken):
    order = Order(repeats, batch_size=batch_size, generator=random.Random(1))
    for _ in range(taken):
        next(order)
    state = json.loads(json.dumps(order.state()))
    other = Order(repeats, batch_size=batch_size, generator=random.Random(2))
    next(other)
    other.restore(state)
    assert other.epoch == order.epoch
    assert list(islice(other, 20)) == list(islice(order, 20))


def test_a_changed_folder_is_refused(refuses):
    state = Order([2, 1], batch_size=1, generator=random.Random(0)).state()
    other = Order([2, 1, 1], batch_size=1, generator=random.Random(0))
    with refuses("dataset.order_changed", "2", "3", "4"):
        other.restore(state)
