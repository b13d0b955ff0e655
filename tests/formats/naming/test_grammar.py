"""A grammar's two spellings."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from loraloom.formats.naming.grammar import Grammar

GRAMMAR = Grammar("head | blocks.# . (a_b.c | to_out.0) | (x | y.#).tail_#")
NUMBER = st.integers(0, 10**6).map(str)
DOTTED = st.one_of(
    st.just("head"),
    st.builds("blocks.{}.{}".format, NUMBER, st.sampled_from(["a_b.c", "to_out.0"])),
    st.builds("x.tail_{}".format, NUMBER),
    st.builds("y.{}.tail_{}".format, NUMBER, NUMBER),
)


@given(DOTTED)
def test_unflatten_undoes_flatten(dotted):
    assert GRAMMAR.knows(dotted)
    assert GRAMMAR.flatten(dotted) == dotted.replace(".", "_")
    assert GRAMMAR.unflatten(GRAMMAR.flatten(dotted)) == dotted


@given(st.text("abcdehlostuxy_.0123", max_size=20))
def test_what_is_read_from_a_flat_name_flattens_to_it(text):
    dotted = GRAMMAR.unflatten(text)
    assert dotted is None or GRAMMAR.flatten(dotted) == text
    assert GRAMMAR.knows(text) == (GRAMMAR.flatten(text) is not None)
