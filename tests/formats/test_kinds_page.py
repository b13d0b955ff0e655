"""The docs' table of kinds and formats: what the tests assert, and no older than they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from loraloom.adapters.kinds import KINDS
from loraloom.formats.table import FORMATS, WRITTEN
from loraloom.text import LANGUAGES
from tests.formats.examples import EXAMPLES
from tests.formats.kinds_page import FORMS, page, page_path

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_what_the_tests_say(language):
    kept = page_path(language, ROOT / "docs").read_text(encoding="utf-8")
    assert kept == page(language), "python -m tests.formats.kinds_page writes it"


def test_every_form_of_every_kind_has_a_name():
    assert FORMS.keys() == KINDS.keys()
    assert {kind: len(forms) for kind, forms in FORMS.items()} == {
        kind: len(examples) for kind, examples in EXAMPLES.items()
    }


def test_the_formats_that_are_offered_are_told_both_ways():
    """Of two cells, by the columns' order: full differences are kohya's and not PEFT's."""
    head, _, *rows = [
        line.strip("| ").split(" | ") for line in page("en").splitlines() if "|" in line
    ]
    cells = {(row[0], row[1]): dict(zip(head, row, strict=True)) for row in rows}
    assert cells["`full`", "linear"]["kohya"] == "in, out"
    assert cells["`full`", "linear"]["PEFT"] == "–"
    assert cells["`lora`", "linear"]["OneTrainer"] == "in"
    assert {row["native"] for row in cells.values()} == {"in, out"}
    assert set(WRITTEN) <= set(FORMATS)
