"""Weights inside captions."""

from __future__ import annotations

import pytest

from loraloom.data.caption_weights import weighted_pieces

# What `parse_prompt_attention` of kohya-ss/sd-scripts (library/strategy_base.py, commit 6edbe005)
# returns.
_PIECES = (
    ("normal text", [("normal text", 1.0)]),
    ("an (important) word", [("an ", 1.0), ("important", 1.1), (" word", 1.0)]),
    ("(unbalanced", [("unbalanced", 1.1)]),
    ("\\(literal\\]", [("(literal]", 1.0)]),
    ("(unnecessary)(parens)", [("unnecessaryparens", 1.1)]),
    (
        "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
        [
            ("a ", 1.0),
            ("house", 1.5730000000000004),
            (" ", 1.1),
            ("on", 1.0),
            (" a ", 1.1),
            ("hill", 0.55),
            (", sun, ", 1.1),
            ("sky", 1.4641000000000006),
            (".", 1.1),
        ],
    ),
    ("", [("", 1.0)]),
    (
        "a (b:1.2), [c], d:1.5)",
        [("a ", 1.0), ("b", 1.2), (", ", 1.0), ("c", 0.9090909090909091), (", d:1.5)", 1.0)],
    ),
    ("(a, (b:2) c:0.5)", [("a, ", 0.5), ("b", 1.0), (" c", 0.5)]),
    ("x) y]", [("x) y]", 1.0)]),
    ("time 10:30 (a:-0.5)", [("time 10:30 ", 1.0), ("a", -0.5)]),
)


@pytest.mark.parametrize(("caption", "expected"), _PIECES)
def test_pieces_are_those_of_kohyas_trainer(caption, expected):
    assert weighted_pieces(caption) == expected


def test_what_is_no_number_is_text():
    assert weighted_pieces("(a:1.2.3)") == [("a:1.2.3", 1.1)]
