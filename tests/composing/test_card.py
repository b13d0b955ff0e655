"""What a merged adapter tells about itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from loraloom.adapters.card import Card
from loraloom.composing import MergeSettings, Truncation, merge, resize
from loraloom.composing.card import families_for
from loraloom.errors import ModelError
from loraloom.formats.coding import decode


def _carded(make, seed, **fields):
    return replace(make(seed), card=Card(**{"family": "sd1", **fields}))


def test_a_card_keeps_what_is_true_of_all(make):
    one = _carded(make, 1, base="v1-5", base_hash="aa", triggers=("cat", "sks"), recipe={"lr": 1})
    other = _carded(make, 2, base="v1-5", base_hash="bb", triggers=("sks", "dog"))
    settings = MergeSettings(mode="svd", truncation=Truncation.to(4))
    card = merge({"a": one, "b": other}, {"a": 0.7, "b": 0.3}, settings, name="both").adapter.card
    assert (card.family, card.name, card.base, card.base_hash) == ("sd1", "both", "v1-5", "")
    assert card.triggers == ("cat", "sks", "dog")
    assert card.recipe == {}
    made = card.facts["made_from"]
    assert (made["tool"], made["mode"], made["weights"]) == ("merge", "svd", {"a": 0.7, "b": 0.3})
    assert made["truncation"]["number"] == 4
    assert card.facts["sources"] == [
        {"name": "a", "base": "v1-5", "base_hash": "aa", "triggers": ["cat", "sks"]},
        {"name": "b", "base": "v1-5", "base_hash": "bb", "triggers": ["sks", "dog"]},
    ]


def test_what_is_not_worn_is_not_told_of(make):
    one, other = _carded(make, 1, triggers=("cat",)), _carded(make, 2, family="flux")
    card = merge({"a": one, "b": other}, {"a": 1.0, "b": 0.0}).adapter.card
    assert card.triggers == ("cat",)
    assert [source["name"] for source in card.facts["sources"]] == ["a"]


def test_what_no_weight_reaches_is_not_told_of(make):
    one, other = _carded(make, 1, triggers=("cat",)), _carded(make, 2, triggers=("dog",))
    merged = merge({"a": one, "b": other}, {"a": 1.0, "b": {"unet": 1.0}}).adapter
    assert merged.card.triggers == ("cat",)


def test_a_family_that_one_does_not_know_is_the_others(make):
    adapters = {"a": _carded(make, 1, family=""), "b": _carded(make, 2)}
    assert merge(adapters, {"a": 1.0, "b": 1.0}).adapter.card.family == "sd1"


def test_adapters_for_two_families_are_refused(make):
    adapters = {"a": _carded(make, 1), "b": _carded(make, 2, family="sdxl")}
    with pytest.raises(ModelError) as caught:
        merge(adapters, {"a": 1.0, "b": 1.0})
    assert caught.value.code == "composing.families"
    assert all(word in str(caught.value) for word in ("a: sd1", "b: sdxl"))


def test_embeddings_are_kept(make):
    cat, dog = {"clip_l": torch.ones(2, 8)}, {"clip_l": torch.zeros(1, 8)}
    one = replace(make(1), embeddings={"<cat>": cat})
    other = replace(make(2), embeddings={"<cat>": {"clip_l": torch.ones(2, 8)}, "<dog>": dog})
    merged = merge({"a": one, "b": other}, {"a": 1.0, "b": 0.5}).adapter
    assert set(merged.embeddings) == {"<cat>", "<dog>"}
    assert torch.equal(merged.embeddings["<cat>"]["clip_l"], cat["clip_l"])
    alone = merge({"a": one, "b": other}, {"a": 1.0, "b": 0.0}).adapter
    assert set(alone.embeddings) == {"<cat>"}
    resized = resize(one, Truncation.to(1)).adapter
    assert torch.equal(resized.embeddings["<cat>"]["clip_l"], cat["clip_l"])


@pytest.mark.parametrize(
    "rival",
    [{"clip_l": torch.zeros(2, 8)}, {"clip_l": torch.ones(1, 8)}, {"clip_g": torch.ones(2, 8)}],
)
def test_one_token_with_two_meanings_is_refused(make, rival):
    one = replace(make(1), embeddings={"<cat>": {"clip_l": torch.ones(2, 8)}})
    other = replace(make(2), embeddings={"<cat>": rival})
    with pytest.raises(ModelError) as caught:
        merge({"a": one, "b": other}, {"a": 1.0, "b": 1.0})
    assert caught.value.code == "composing.embeddings"
    assert all(word in str(caught.value) for word in ("<cat>", '"a"', '"b"'))


def test_a_resized_adapter_keeps_its_card_and_says_so(make):
    one = _carded(make, 1, name="cat", triggers=("cat",), facts={"steps": 5})
    card = resize(one, Truncation(rule="sv_fro", number=0.9)).adapter.card
    assert (card.name, card.triggers, card.facts["steps"]) == ("cat", ("cat",), 5)
    assert card.facts["made_from"] == {"tool": "resize", "rule": "sv_fro", "number": 0.9}


def test_adapters_that_no_one_family_has_are_refused_where_one_is_open():
    """A second text encoder of XL or SD3, and a text encoder in the names of SD1."""
    name = "text_model.encoder.layers.0.self_attn.q_proj"
    open_one, other = (
        decode(
            {
                f"{part}.{name}.lora_A.weight": torch.ones(2, width),
                f"{part}.{name}.lora_B.weight": torch.ones(width, 2),
            },
            {},
            family=family,
        )
        for part, width, family in (("text_encoder_2", 1280, ""), ("text_encoder", 768, "sd1"))
    )
    assert families_for(open_one) == ("sdxl", "sd3")
    with pytest.raises(ModelError) as caught:
        merge({"a": open_one, "b": other}, {"a": 1.0, "b": 1.0})
    assert caught.value.code == "composing.families"
    assert "a: sdxl / sd3, b: sd1" in str(caught.value)
