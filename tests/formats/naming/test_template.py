"""Names with numbers: what they stand for, whatever the numbers, in bounded time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraloom.formats.naming.template import Index, Template

INDEX = Index(
    (Template(text), text)
    for text in ("in", "linear_1", "linear_2", "down.#.net.0.x", "down.#.net.2", "n.#.t_#")
)
NUMBER = st.integers(0, 10**9 - 1)


@given(NUMBER, NUMBER)
def test_free_numbers_are_read_and_put_back(first, second):
    found = INDEX.find(f"n.{first}.t_{second}")
    assert found == ("n.#.t_#", (first, second))
    assert Template(found[0]).form % found[1] == f"n.{first}.t_{second}"


def test_fixed_numbers_are_part_of_the_name():
    assert INDEX.find("down.7.net.0.x") == ("down.#.net.0.x", (7,))
    assert INDEX.find("down.7.net.2") == ("down.#.net.2", (7,))
    assert INDEX.find("linear_2") == ("linear_2", ())
    for name in ("down.7.net.1.x", "linear_3", "down.7.net.0", "down.net.0.x"):
        assert INDEX.find(name) is None, name


# A number is a whole word, is written in one way, and is not the sign that templates use for it.
@pytest.mark.parametrize(
    "name",
    [
        "n.01.t_2",
        "n.١.t_2",
        "n.#.t_2",
        "n.1.t_",
        "n.1.t_2.",
        "n.1.t_-2",
        "n.1a.t_2",
        f"n.{10**9}.t_2",
        f"n.{'1' * 5000}.t_2",
        "",
    ],
)
def test_what_is_no_number_is_not_read_as_one(name):
    assert INDEX.find(name) is None


def test_a_template_that_no_name_could_fit_is_refused():
    with pytest.raises(ValueError, match="whole word"):
        Template("attn#.to_q")


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("a.#", "a.0", True),
        ("a.1", "a.0", False),
        ("a.#.b", "a.#.c", False),
        ("a.#.1", "a.0.#", True),
        ("a.#", "a.#.#", False),
    ],
)
def test_templates_that_can_make_the_same_name(one, other, meet):
    assert Template(one).meets(Template(other)) is meet
    assert Template(other).meets(Template(one)) is meet


@pytest.mark.parametrize("piece", ["down.", "0.", "_0", "9", "n.1.t_", "."])
def test_the_time_of_a_look_up_grows_with_the_length_alone(piece):
    def seconds(length: int) -> float:
        name = piece * (length // len(piece))
        start = time.process_time()
        for _ in range(5):
            assert INDEX.find(name) is None
        return time.process_time() - start

    seconds(500)
    # A hundred times as long: quadratic would be ten thousand times as slow.
    assert seconds(50_000) < 1500 * (seconds(500) + 1e-4)
