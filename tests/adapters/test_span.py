"""Spans: several sites in a row."""

from __future__ import annotations

import pytest

from loraloom.adapters.site import Site
from loraloom.adapters.span import Span

Q, K, V = (Site("transformer", f"attn.to_{name}.weight") for name in "qkv")


def test_a_span_is_its_sites_in_their_order():
    span = Span((Q, K, V))
    assert span.sites == (Q, K, V)
    assert span.part == "transformer"
    assert str(span) == (
        "transformer.attn.to_q.weight + transformer.attn.to_k.weight + transformer.attn.to_v.weight"
    )
    assert span != Span((K, Q, V))
    assert Q.sites == (Q,)


def test_what_is_known_of_its_rows_is_no_part_of_its_identity():
    known, unknown = Span((Q, K), (3, None)), Span((Q, K))
    assert known == unknown
    assert hash(known) == hash(unknown)
    assert (known.rows, unknown.rows) == ((3, None), (None, None))


@pytest.mark.parametrize(
    ("sites", "rows"),
    [((), ()), ((Q,), ()), ((Q, Q), ()), ((Q, Site("unet", K.path)), ()), ((Q, K), (3,))],
)
def test_what_is_no_span_is_refused(sites, rows):
    with pytest.raises(ValueError, match=r"span|row counts"):
        Span(sites, rows)
