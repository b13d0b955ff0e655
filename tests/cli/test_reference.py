"""The page of all options that is kept in the repository."""

from pathlib import Path

import pytest

from loraloom.cli.main import COMMANDS
from loraloom.cli.reference import reference, reference_path
from loraloom.jobs.foreign import FOREIGN
from loraloom.text import LANGUAGES

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_what_the_declarations_say(language):
    kept = reference_path(DOCS, language).read_text(encoding="utf-8")
    assert kept == reference(language), "run `python -m loraloom.cli.reference`"


def test_the_page_has_every_name_of_every_option():
    page = reference("en")
    names = [name for command in COMMANDS for key in command.options() for name in key.spellings]
    assert names
    assert all(f"`{name}`" in page for name in (*names, *FOREIGN))
