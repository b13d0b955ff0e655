"""Speed and time left."""

import pytest

from loraloom.cli.pace import Pace, Smoothed, clock


def test_time_between_other_things_is_not_counted():
    pace = Pace()
    now = 0.0
    for number in range(10):
        pace.step(now)
        now += 2.0
        if number == 5:
            pace.pause()
            now += 1000.0
    assert pace.left(10) == pytest.approx(20.0)
    assert pace.speed == "2.0 s/it"


def test_nothing_is_said_before_there_is_something_to_say():
    pace = Pace()
    pace.step(0.0)
    assert (pace.speed, pace.left(5)) == ("", None)


def test_units_may_come_several_at_once():
    pace = Pace()
    for number in range(4):
        pace.step(number * 1.0, 5)
    assert pace.speed == "5.0 it/s"


def test_means_begin_at_the_first_value():
    means = Smoothed()
    assert means.add("cat", 1.0) == 1.0
    assert means.add("cat", 0.0) == pytest.approx(0.95)
    assert means.add("dog", 0.0) == 0.0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (521, "8:41"), (7384, "2:03:04")]
)
def test_durations_read_as_clocks(seconds, text):
    assert clock(seconds) == text
