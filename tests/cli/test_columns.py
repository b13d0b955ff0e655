"""Columns: Korean letters are two cells wide."""

from hypothesis import given
from hypothesis import strategies as st

from loraloom.cli.columns import cells, definitions, table, wrapped


def test_korean_letters_take_two_cells():
    assert cells("rank 랭크") == 9
    assert cells("e\u0301") == 1


@given(st.text("a가 \n", max_size=60), st.integers(4, 20))
def test_wrapping_keeps_every_word_within_the_width(text, width):
    lines = list(wrapped(text, width))
    assert " ".join(lines).split() == text.split()
    assert all(cells(line) <= width or " " not in line for line in lines)


def test_columns_line_up():
    rows = list(table([("랭크", "32"), ("alpha", "16")]))
    assert [cells(row) for row in rows] == [9, 9]


def test_long_terms_stand_above_their_text():
    rows = [("--rank N", "how much"), ("--a_very_long_name_of_an_option N", "what")]
    assert list(definitions(rows, width=60)) == [
        "  --rank N  how much",
        "  --a_very_long_name_of_an_option N",
        "            what",
    ]
