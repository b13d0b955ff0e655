"""What cannot be applied is found by `verify`, and never written."""

import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from loraloom.formats.files import read_adapter


def altered(source, target, change):
    """Write a copy of a file with some of its tensors changed."""
    save_file({key: change(key, each) for key, each in load_file(source).items()}, target)
    return target


@pytest.mark.parametrize("alpha", [1.7e308, 1e300, -1e40])
def test_a_scale_beyond_float32_is_not_sound_and_not_written(files, tmp_path, run, refused, alpha):
    def change(key, tensor):
        return torch.tensor(alpha, dtype=torch.float64) if key.endswith(".alpha") else tensor

    source = altered(files["one"], tmp_path / "large.safetensors", change)
    told = run("verify", source, status=1)
    assert {finding["code"] for finding in told["findings"]} == {"overflow"}
    assert len(told["findings"]) == told["weights"]
    assert told["unmeasured"] == 0
    output = tmp_path / "out.safetensors"
    for format in ("kohya", "native"):
        words = ("convert", source, output, "--to", format, "--dtype", "bf16")
        assert "[adapter.scale_overflow]" in refused(*words, status=6)
    assert not output.exists()


def test_a_change_beyond_float32_is_not_sound(files, tmp_path, run):
    def change(key, tensor):
        return tensor if key.endswith(".alpha") else tensor * 1e25

    source = altered(files["one"], tmp_path / "large.safetensors", change)
    codes = {finding["code"] for finding in run("verify", source, status=1)["findings"]}
    assert codes == {"overflow"}


def test_a_merge_at_an_absurd_weight_is_not_written(files, tmp_path, refused):
    output = tmp_path / "out.safetensors"
    for words in ([f"{files['one']}:1e300"], [f"{files['one']}:1e300", files["two"]]):
        said = refused("merge", *words, "-o", output, status=6)
        assert "[adapter.scale_overflow]" in said or "[adapter.not_finite]" in said
    assert not output.exists()


def test_broken_numbers_are_no_matter_of_the_base(files, tmp_path, refused):
    def change(key, tensor):
        return torch.full_like(tensor, math.nan) if key.endswith("up.weight") else tensor

    source = altered(files["one"], tmp_path / "nan.safetensors", change)
    assert "--base" not in refused("verify", source, status=1)


def test_what_a_narrow_type_loses_is_told(files, tmp_path, run, refused):
    tiny = 2e-8  # less than half of float16's smallest number, which is 2**-24

    def change(key, tensor):
        return tensor * (tiny / tensor.abs().max()) if "to_v.lora_up" in key else tensor

    source = altered(files["one"], tmp_path / "tiny.safetensors", change)
    output = tmp_path / "out.safetensors"
    words = ("convert", source, output, "--to", "kohya", "--force")
    small = [key for key in load_file(source) if "to_v.lora_up" in key]
    assert small
    (warning,) = run(*words, "--dtype", "fp16")["warnings"]
    assert warning["code"] == "lora.rounded"
    assert f" {len(small)} weights" in warning["message"]
    assert "100.0%" in warning["message"]
    assert all(not load_file(output)[key].any() for key in small)
    assert run(*words, "--dtype", "bf16")["warnings"] == []
    large = altered(files["one"], tmp_path / "large.safetensors", lambda key, each: each * 1e6)
    words = ("convert", large, output, "--to", "kohya", "--force", "--dtype", "fp16")
    assert "[adapter.not_finite]" in refused(*words, status=6)


def test_a_claim_to_a_weight_larger_than_any_is_refused_at_once(tmp_path, refused, files):
    name = next(k for k in load_file(files["one"]) if "to_v" in k).partition(".")[0]
    factor = torch.zeros(400, 400)
    path = tmp_path / "vast.safetensors"
    save_file({f"{name}.lokr_w1": factor, f"{name}.lokr_w2": factor.clone()}, path)
    for words in (
        ("info", path),
        ("verify", path),
        ("merge", path, "-o", tmp_path / "o.safetensors"),
    ):
        assert "[format.too_large]" in refused(*words, status=4), words


def test_an_embedding_of_the_largest_models_is_within_the_bound(tmp_path):
    name = "base_model.model.model.embed_tokens"
    tensors = {
        f"{name}.lora_embedding_A": torch.zeros(1, 256_000),
        f"{name}.lora_embedding_B": torch.zeros(16_384, 1),
    }
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 1}')
    (delta,) = read_adapter(tmp_path).deltas.values()
    assert delta.claimed_shape == (256_000, 16_384)
