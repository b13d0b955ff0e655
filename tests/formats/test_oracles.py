"""diffusers and PEFT load what we write, we read what they write, and all outputs agree."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline
from diffusers.training_utils import _collate_lora_metadata
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict

from loraloom.adapters.attachment import attach
from loraloom.adapters.operation import Operation
from loraloom.formats.files import read_adapter, write_adapter

# Of transformers 5 about PEFT's wrapping.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")


def _pipeline(networks):
    return StableDiffusionPipeline(
        **networks,
        vae=None,
        tokenizer=None,
        scheduler=DDPMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _worn(networks, adapter, run):
    with attach(networks, adapter):
        return run(networks)


def _assert_close(found, expected):
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.fixture
def expected(networks, adapter, run):
    """Return the output with the adapter on, which is far from the bare one."""
    worn = _worn(networks, adapter, run)
    assert (worn - run(networks)).abs().max() > 0.1
    return worn


def test_attaching_is_adding_the_formula_to_the_weights(copies, adapter, run, expected):
    for site, delta in adapter.deltas.items():
        for path in site.live_modules():
            layers = dict(copies[site.part].named_modules())
            if path in layers:
                down, up = (part.double().flatten(1) for part in delta.parts().values())
                change = delta.alpha / delta.rank * (up @ down)
                weight = layers[path].weight
                weight.data += change.view(weight.shape).float()
                break
        else:
            pytest.fail(f"no layer for {site}")
    _assert_close(run(copies), expected)


def test_diffusers_loads_our_diffusers_file(tmp_path, copies, adapter, run, expected):
    write_adapter(adapter, tmp_path / "cat.safetensors", "diffusers")
    _pipeline(copies).load_lora_weights(tmp_path / "cat.safetensors")
    _assert_close(run(copies), expected)


def test_diffusers_loads_our_kohya_file(tmp_path, copies, make_adapter, card, networks, run):
    # One alpha for all: with several, diffusers 0.42 gives most of them to the wrong modules.
    adapter = make_adapter(card, ranks=(2, 3), scales=(1.0,))
    for delta in adapter.deltas.values():
        delta._alpha = 1.5
    write_adapter(adapter, tmp_path / "cat.safetensors", "kohya")
    _pipeline(copies).load_lora_weights(tmp_path / "cat.safetensors")
    _assert_close(run(copies), _worn(networks, adapter, run))


def test_peft_loads_our_folder(tmp_path, copies, adapter, run, expected):
    write_adapter(adapter, tmp_path / "cat", "peft")
    worn = {
        part: PeftModel.from_pretrained(network, tmp_path / "cat" / part)
        for part, network in copies.items()
    }
    _assert_close(run(worn), expected)


def test_peft_loads_our_folder_of_one_network(tmp_path, copies, make_adapter, card, run):
    adapter = make_adapter(card, parts=("unet",))
    expected = _worn(copies, adapter, run)
    write_adapter(adapter, tmp_path / "cat", "peft")
    copies["unet"] = PeftModel.from_pretrained(copies["unet"], tmp_path / "cat")
    _assert_close(run(copies), expected)


@pytest.mark.parametrize("format", ["kohya", "diffusers", "peft"])
def test_we_read_back_what_we_wrote(tmp_path, networks, adapter, run, expected, format):
    path = tmp_path / "cat.safetensors"
    write_adapter(adapter, path, format)
    assert torch.equal(_worn(networks, read_adapter(path), run), expected)


RANK_PATTERNS = {
    "unet": {r".*attn1\.to_q": 2, "mid_block.*": 3},
    "text_encoder": {"fc1": 1},
}
ALPHA_PATTERNS = {
    "unet": {"attentions.0.proj_in": 5, "to_k": 7},
    "text_encoder": {"^encoder.layers.1.mlp.fc2": 3},
}


def _config(part, network, **options):
    """Return a configuration that adapts every layer, ranks and alphas by pattern."""
    return LoraConfig(
        r=4,
        lora_alpha=2,
        target_modules=[p for p, m in network.named_modules() if Operation.of(m) is not None],
        rank_pattern=RANK_PATTERNS[part],
        alpha_pattern=ALPHA_PATTERNS[part],
        **options,
    )


def _randomise(network):
    generator = torch.Generator().manual_seed(3)
    for name, parameter in network.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(0, 0.2, generator=generator)


@pytest.mark.filterwarnings("ignore:.*rslora")
@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize("old_names", [False, True])
def test_we_read_what_diffusers_saves(tmp_path, networks, copies, run, rslora, old_names):
    """Ranks and alphas by PEFT's patterns, in the header; factors under both spellings."""
    for part, network in copies.items():
        config = _config(part, network, use_rslora=rslora)
        network.add_adapter(config, "default")
        _randomise(network)
    layers = {part: get_peft_model_state_dict(network) for part, network in copies.items()}
    if old_names:
        layers = {part: convert_state_dict_to_diffusers(state) for part, state in layers.items()}
    StableDiffusionPipeline.save_lora_weights(
        tmp_path,
        **{f"{part}_lora_layers": state for part, state in layers.items()},
        **_collate_lora_metadata(copies),
    )
    _assert_close(_worn(networks, read_adapter(tmp_path), run), run(copies))


@pytest.mark.filterwarnings("ignore:.*rslora")
@pytest.mark.parametrize("rslora", [False, True])
def test_we_read_what_peft_saves(tmp_path, networks, copies, run, rslora):
    trained = {
        part: get_peft_model(network, _config(part, network, use_rslora=rslora))
        for part, network in copies.items()
    }
    for part, network in trained.items():
        _randomise(network)
        network.save_pretrained(tmp_path / part)
    _assert_close(_worn(networks, read_adapter(tmp_path), run), run(trained))


def test_a_lone_peft_folder_knows_its_network(tmp_path, networks, copies, run):
    config = LoraConfig(r=2, lora_alpha=6, target_modules=["q_proj", "fc1"])
    trained = get_peft_model(copies["text_encoder"], config)
    _randomise(trained)
    trained.save_pretrained(tmp_path / "cat")
    adapter = read_adapter(tmp_path / "cat")
    assert adapter.named_parts == ("text_encoder",)
    expected = run({**copies, "text_encoder": trained})
    _assert_close(_worn(networks, adapter, run), expected)
    # The weights' file alone finds the configuration beside it.
    file = read_adapter(tmp_path / "cat" / "adapter_model.safetensors")
    assert torch.equal(_worn(networks, file, run), _worn(networks, adapter, run))
