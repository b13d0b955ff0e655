"""What PEFT saves beside the factors: the base's own embeddings, and tensors in place of others."""

from __future__ import annotations

import copy
import json

import peft
import pytest
import torch
from safetensors import safe_open
from transformers import LlamaConfig, LlamaForCausalLM

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.attachment import attach
from loraloom.adapters.card import Card
from loraloom.adapters.dora import Dora
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site
from loraloom.errors import ModelError
from loraloom.formats.files import read_adapter, write_adapter
from loraloom.formats.summary import describe

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

TOKENS = torch.arange(3, 23).view(2, 10)
COPIES = ["model.embed_tokens", "lm_head"]


@pytest.fixture(scope="module")
def model():
    """Return a small language model."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 48, "hidden_size": 16, "intermediate_size": 24}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "num_hidden_layers": 1}
    return LlamaForCausalLM(LlamaConfig(**sizes, **heads)).eval().requires_grad_(False)


def _saved(model, folder, enlarged=0, **options):
    """Save PEFT's adapter of random numbers, and return what PEFT puts out."""
    model = copy.deepcopy(model)
    if enlarged:
        model.resize_token_embeddings(48 + enlarged)
    options = {"r": 2, "lora_alpha": 3} | options
    trained = peft.get_peft_model(model, peft.LoraConfig(**options)).eval()
    generator = torch.Generator().manual_seed(1)
    for tensor in trained.parameters():
        if tensor.requires_grad:
            tensor.data += 0.1 * torch.randn(tensor.shape, generator=generator)
    trained.save_pretrained(folder, save_embedding_layers=True if enlarged else "auto")
    return trained(TOKENS).logits.detach()


def _keys(folder):
    with safe_open(folder / "adapter_model.safetensors", "pt") as file:
        return set(file.keys())


def _worn(model, adapter):
    with attach({"model": model}, adapter):
        return model(TOKENS).logits


def test_the_bases_embeddings_beside_an_adapter_are_no_part_of_it(tmp_path, model):
    expected = _saved(model, tmp_path / "cat", target_modules=["embed_tokens", "lm_head", "q_proj"])
    copies = {f"base_model.model.{name}.base_layer.weight" for name in COPIES}
    assert copies < _keys(tmp_path / "cat")
    adapter = read_adapter(tmp_path / "cat")
    assert {site.module.rpartition(".")[2] for site in adapter.sites} == {
        "embed_tokens",
        "lm_head",
        "q_proj",
    }
    torch.testing.assert_close(_worn(model, adapter), expected, rtol=1e-5, atol=1e-6)
    # As it was read it is written, whole; once edited it is the adapter alone, and PEFT's the same.
    write_adapter(adapter, tmp_path / "again", "peft")
    assert _keys(tmp_path / "again") == _keys(tmp_path / "cat")
    write_adapter(adapter.with_card(name="edited"), tmp_path / "alone", "peft")
    assert _keys(tmp_path / "alone") == _keys(tmp_path / "cat") - copies
    for name in ("again", "alone"):
        theirs = peft.PeftModel.from_pretrained(copy.deepcopy(model), tmp_path / name).eval()
        assert torch.equal(theirs(TOKENS).logits, expected)


@pytest.mark.parametrize("through", ["native", "lycoris"])
@pytest.mark.parametrize("targets", [["embed_tokens"], ["embed_tokens", "q_proj"]])
def test_an_embeddings_magnitude_comes_back_through_other_formats(
    tmp_path, model, through, targets
):
    """PEFT's is one of the inputs there, of whose weight it sees the transposed one."""
    expected = _saved(model, tmp_path / "cat", target_modules=targets, use_dora=True)
    between = tmp_path / "between.safetensors"
    write_adapter(read_adapter(tmp_path / "cat"), between, through)
    write_adapter(read_adapter(between), tmp_path / "back", "peft")
    theirs = peft.PeftModel.from_pretrained(copy.deepcopy(model), tmp_path / "back").eval()
    torch.testing.assert_close(theirs(TOKENS).logits, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("axis", "format"), [("output", "peft"), ("input", "diffusers")])
def test_a_magnitude_that_would_be_read_as_another_has_no_place(tmp_path, axis, format):
    """PEFT's are of the inputs of embeddings; diffusers' are of the outputs of all layers."""
    site = Site("text_encoder", "text_model.embeddings.token_embedding.weight")
    size = {"output": 8, "input": 6}[axis]
    dora = Dora(Lora(torch.ones(2, 6), torch.ones(8, 2), 1.0), torch.ones(size), axis)
    adapter, path = (
        Adapter(deltas={site: dora}, card=Card(family="sd1")),
        tmp_path / "x.safetensors",
    )
    with pytest.raises(ModelError) as caught:
        write_adapter(adapter, path, format)
    assert caught.value.code == "format.cannot_express"


def test_that_they_are_there_is_said_with_their_names(tmp_path, model):
    _saved(model, tmp_path, target_modules=["embed_tokens", "q_proj"])
    warned = [
        each
        for found in (read_adapter(tmp_path).origin.warnings, describe(tmp_path).warnings)
        for each in found
    ]
    assert [each.code for each in warned] == ["format.base_copy"] * 2
    assert all("embed_tokens.base_layer.weight" in each.details["keys"] for each in warned)


def test_an_enlarged_vocabulary_fits_the_enlarged_base_alone(tmp_path, model):
    _saved(model, tmp_path, enlarged=4, target_modules=["embed_tokens", "lm_head"])
    with pytest.raises(ModelError) as caught:
        attach({"model": model}, read_adapter(tmp_path))
    assert caught.value.code == "attach.shape"


WHOLE = {
    "modules to save": ({"modules_to_save": ["lm_head"]}, "lm_head.weight"),
    "norms": ({"modules_to_save": ["input_layernorm"]}, "input_layernorm.weight"),
    "tokens": ({"trainable_token_indices": [1, 2]}, "trainable_tokens_delta"),
    "enlarged": ({"enlarged": 4}, "embed_tokens.weight"),
}


@pytest.mark.parametrize("case", WHOLE)
def test_what_replaces_the_bases_own_is_refused_by_name_with_the_way_out(tmp_path, model, case):
    options, key = WHOLE[case]
    _saved(model, tmp_path, target_modules=["q_proj"], **options)
    for read in (read_adapter, describe):
        with pytest.raises(ModelError) as caught:
            read(tmp_path)
        assert caught.value.code == "format.peft_whole"
        assert key in str(caught.value)
        assert "merge_and_unload" in str(caught.value)


def test_a_type_that_is_not_read_is_named_before_its_tensors(tmp_path, model):
    _saved(model, tmp_path, target_modules=["q_proj"])
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "peft_type": "ADALORA"}))
    with pytest.raises(ModelError) as caught:
        read_adapter(tmp_path)
    assert caught.value.code == "format.peft_type"
    config = peft.AdaLoraConfig(target_modules=["q_proj"], init_r=4, target_r=2, total_step=9)
    peft.get_peft_model(copy.deepcopy(model), config).save_pretrained(tmp_path / "ada")
    with pytest.raises(ModelError) as caught:
        read_adapter(tmp_path / "ada")
    assert caught.value.code == "format.peft_type"
    assert "ADALORA" in str(caught.value)
