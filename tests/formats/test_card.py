"""The card's trip through a header."""

from __future__ import annotations

import json

import pytest

from loraloom.adapters.card import Card
from loraloom.errors import ModelError
from loraloom.formats.card import card_entry, read_card
from loraloom.formats.contents import Contents


def _contents(metadata):
    return Contents(where="cat.safetensors", shapes={}, metadata=metadata)


def test_what_goes_in_comes_out(card):
    assert read_card(_contents(card_entry(card)), "") == card


def test_an_empty_card_too():
    assert read_card(_contents(card_entry(Card(family=""))), "sd1") == Card(family="")


def test_it_is_found_in_a_subfolder(card):
    (entry,) = card_entry(card).values()
    assert read_card(_contents({"unet/format": "pt", "unet/loraloom": entry}), "") == card


def test_fields_of_a_later_version_are_kept():
    entry = json.dumps({"family": "sd1", "licence": "CC0", "facts": {"steps": 3}})
    found = read_card(_contents({"loraloom": entry}), "")
    assert found == Card(family="sd1", facts={"licence": "CC0", "steps": 3})


def test_a_card_without_a_family_takes_that_of_the_names():
    assert read_card(_contents({"loraloom": "{}"}), "sd1") == Card(family="sd1")


@pytest.mark.parametrize("entry", ["", "{", "[]", "3", '{"triggers": "cat"}', '{"facts": 1}'])
def test_a_broken_card_is_an_error(entry):
    with pytest.raises(ModelError) as caught:
        read_card(_contents({"loraloom": entry}), "sd1")
    assert caught.value.code == "format.card"
    assert "cat.safetensors" in str(caught.value)
