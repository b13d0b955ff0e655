"""Learning rates: where they rise, where they fall, and where a run was prolonged."""

import math

import pytest

from loraloom.jobs.building.curve import Curve, Prolonged


def test_a_curve_rises_and_falls():
    curve = Curve(peak=2.0, floor=1.0, warmup=4, steps=104)
    assert [curve(step) for step in range(4)] == [0.5, 1.0, 1.5, 2.0]
    assert curve(29) == pytest.approx(1 + 0.5 * (1 + math.cos(math.pi / 4)))
    assert curve(104) == curve(500) == pytest.approx(1.0)


def test_a_prolonged_run_follows_each_curve_in_its_turn():
    short = Curve(peak=2.0, floor=1.0, warmup=4, steps=104)
    long = Curve(peak=2.0, floor=1.0, warmup=4, steps=304)
    both = Prolonged(((100, short), (300, long)))
    assert both.peak == 2.0
    assert [both(step) for step in range(100)] == [short(step) for step in range(100)]
    assert [both(step) for step in range(100, 320)] == [long(step) for step in range(100, 320)]
    assert both(100) > both(99)
