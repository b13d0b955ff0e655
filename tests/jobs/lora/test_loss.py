"""`--lossy` and `--drop`: what a format has no place for, given up by name and told."""

import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.card import Card
from loraloom.adapters.dora import Dora
from loraloom.adapters.full import Full
from loraloom.adapters.loha import Loha
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site
from loraloom.composing import compare
from loraloom.formats.files import read_adapter, write_adapter

MODULE = "mid_block.attentions.0.transformer_blocks.0.attn1"
NORM = "mid_block.resnets.0.norm1"
KEPT = Site("unet", f"{MODULE}.to_q.weight")
VECTORS = {
    "bias": [Site("unet", "conv_in.bias")],
    "norm": [Site("unet", f"{NORM}.weight"), Site("unet", f"{NORM}.bias")],
}


def _numbers(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(math.prod(shape)))


def _lora():
    return Lora(_numbers(2, 6), _numbers(8, 2), 1.0)


def _loha():
    shapes = {"w1_a": (8, 2), "w1_b": (2, 6), "w2_a": (8, 2), "w2_b": (2, 6)}
    parts = {name: _numbers(*shape) for name, shape in shapes.items()}
    return Loha.from_parts({**parts, "w2_b": parts["w2_b"].flip(0)}, 1.0)


def _dora():
    return Dora(_lora(), _numbers(8).abs(), "output")


def _file(path, deltas):
    write_adapter(Adapter(deltas=deltas, card=Card(family="sd1", name="cat")), path, "lycoris")
    return path


@pytest.fixture
def with_vectors(tmp_path):
    """Return a file with a LoRA, a bias, and a norm; the LoRA's norm is that of 12 and 5 are 13."""
    lora = Lora(torch.eye(2, 6), torch.eye(8, 2) * 12 / 2**0.5, 2.0)
    deltas = {
        KEPT: lora,
        VECTORS["bias"][0]: Full(torch.tensor([3.0, 0.0])),
        VECTORS["norm"][0]: Full(torch.tensor([0.0, 4.0])),
        VECTORS["norm"][1]: Full(torch.tensor([0.0, 0.0])),
    }
    return _file(tmp_path / "whole.safetensors", deltas)


def test_biases_and_norms_stay_out_by_name_and_their_share_is_told(with_vectors, tmp_path, run):
    told = run("convert", with_vectors, tmp_path / "peft", "--to", "peft", "--drop", "bias,norm")
    assert set(read_adapter(tmp_path / "peft").deltas) == {KEPT}
    codes = [warning["code"] for warning in told["warnings"]]
    assert codes == ["lora.left_out", "lora.left_out"]
    first, second = (warning["message"] for warning in told["warnings"])
    for word in ("--drop bias: 1,", f"{3 / 13:.2%}", "conv_in.bias"):
        assert word in first
    for word in ("--drop norm: 2,", f"{4 / 13:.2%}", NORM):
        assert word in second


@pytest.mark.parametrize(
    ("given", "code", "advice"),
    [
        ((), "lora.takes_leaving_out", "--drop bias,norm"),
        (("--drop", "bias"), "lora.takes_leaving_out", "--drop bias,norm"),
        (("--lossy", "svd:2"), "lora.takes_leaving_out", "--drop bias,norm"),
    ],
)
def test_what_is_missing_is_advised(with_vectors, tmp_path, refused, given, code, advice):
    said = refused("convert", with_vectors, tmp_path / "p", "--to", "peft", *given, status=4)
    assert f"[{code}]" in said
    assert advice in said
    assert "--lossy" not in said
    assert not (tmp_path / "p").exists()


def test_what_a_format_has_a_place_for_is_left_out_only_if_asked(with_vectors, tmp_path, run):
    """In the file's own format too, where it would otherwise be written as it was read."""
    output = tmp_path / "out.safetensors"
    run("convert", with_vectors, output, "--to", "lycoris", "--drop", "norm")
    assert set(read_adapter(output).deltas) == {KEPT, *VECTORS["bias"]}


def test_nothing_but_biases_and_norms_is_told(tmp_path, refused):
    deltas = {site: Full(torch.ones(4)) for sites in VECTORS.values() for site in sites}
    source = _file(tmp_path / "vectors.safetensors", deltas)
    words = ("convert", source, tmp_path / "p", "--to", "peft")
    assert "format.no_way" in refused(*words, status=4)
    assert "lora.all_left_out" in refused(*words, "--drop", "bias,norm", status=4)


def test_both_options_are_advised_where_both_are_needed(tmp_path, run, refused):
    source = _file(
        tmp_path / "full.safetensors",
        {KEPT: Full(_numbers(8, 6)), VECTORS["norm"][0]: Full(torch.ones(4))},
    )
    words = ("merge", f"{source}:0.5", "-o", tmp_path / "out", "--to", "peft")
    said = refused(*words, status=4)
    assert "[lora.takes_both]" in said
    assert "--lossy svd:RANK" in said
    assert "--drop norm" in said
    told = run(*words, "--lossy", "svd:3", "--drop", "norm")
    values = torch.linalg.svdvals(_numbers(8, 6).double()).square()
    kept = float(values[:3].sum() / values.sum())  # Eckart and Young
    assert told["measured"][f"energy {KEPT}"] == pytest.approx(kept, rel=1e-5)


@pytest.mark.parametrize("to", ["peft", "diffusers"])
def test_a_mix_of_kinds_becomes_loras_where_it_must(to, tmp_path, run):
    """Two LoHa beside a LoRA: these become LoRAs of rank 4, which they are; it stays as it is."""
    names = {"to_q": _loha(), "to_k": _loha(), "to_v": _lora()}
    deltas = {Site("unet", f"{MODULE}.{name}.weight"): each for name, each in names.items()}
    source, output = _file(tmp_path / "mix.safetensors", deltas), tmp_path / "out"
    output = output if to == "peft" else output.with_suffix(".safetensors")
    told = run("convert", source, output, "--to", to, "--lossy", "svd:4")
    assert [warning["code"] for warning in told["warnings"]] == ["lora.approximated"]
    assert told["warnings"][0]["message"].startswith("2 weights")
    read = read_adapter(output)
    assert {delta.kind for delta in read.deltas.values()} == {"lora"}
    kept = read.deltas[Site("unet", f"{MODULE}.to_v.weight")]
    assert all(torch.equal(part, _lora().parts()[name]) for name, part in kept.parts().items())
    assert max(each.error for each in compare(read_adapter(source), read)) < 1e-5


def test_doras_beside_a_lora_become_loras_with_the_base(tmp_path, run, refused):
    names = {"to_q": _dora(), "to_k": _dora(), "to_v": _lora()}
    deltas = {Site("unet", f"{MODULE}.{name}.weight"): each for name, each in names.items()}
    source = _file(tmp_path / "mix.safetensors", deltas)
    base = tmp_path / "base" / "unet"
    base.mkdir(parents=True)
    (base / "config.json").write_text("{}")
    weights = {f"{MODULE}.{name}.weight": _numbers(8, 6) for name in names}
    save_file(weights, base / "diffusion_pytorch_model.safetensors")
    words = ("convert", source, tmp_path / "out", "--to", "peft", "--lossy", "svd:6")
    assert "composing.needs_base" in refused(*words, status=4)
    run(*words, "--base", base.parent)
    tensors = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert not [name for name in tensors if "magnitude" in name]
    ours = _dora().delta(_numbers(8, 6))
    found = read_adapter(tmp_path / "out").deltas[Site("unet", f"{MODULE}.to_q.weight")]
    torch.testing.assert_close(found.delta(None), ours, rtol=1e-4, atol=1e-5)


def test_a_middle_factor_is_told_where_it_is_multiplied_away(tmp_path, run):
    site = Site("unet", "mid_block.resnets.0.conv1.weight")
    tucker = Lora(_numbers(2, 6, 1, 1), _numbers(4, 2, 1, 1), 1.0, _numbers(2, 2, 3, 3))
    source = _file(tmp_path / "tucker.safetensors", {site: tucker})
    told = run("convert", source, tmp_path / "peft", "--to", "peft")
    assert [warning["code"] for warning in told["warnings"]] == ["format.rewritten"]
    assert str(site) in told["warnings"][0]["message"]
    verdict = run("verify", source, tmp_path / "peft", "--tolerance", "1e-6")
    assert verdict["ok"]
    again = run("convert", source, tmp_path / "again.safetensors", "--to", "kohya")
    assert again["warnings"] == []


def test_a_model_trained_as_a_whole_is_extracted_for_peft(tmp_path, run, refused):
    """Weights, biases and norms differ."""
    original = {
        f"{MODULE}.to_q.weight": _numbers(8, 6),
        "conv_in.weight": _numbers(4, 3, 3, 3),
        **{site.path: _numbers(4) for sites in VECTORS.values() for site in sites},
    }
    for name, offset in (("original", 0.0), ("tuned", 0.5)):
        folder = tmp_path / name / "unet"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        tensors = {key: tensor + offset for key, tensor in original.items()}
        save_file(tensors, folder / "diffusion_pytorch_model.safetensors")
    words = ("extract", tmp_path / "tuned", tmp_path / "original", "--rank", "1", "--to", "peft")
    words = (*words, "-o", tmp_path / "out")
    said = refused(*words, status=4)
    assert "--drop " in said
    # Before the matrices were looked at, which is what takes long.
    assert said.startswith("error")
    told = run(*words, "--drop", "bias", "--drop", "norm")
    read = read_adapter(tmp_path / "out")
    assert {site.path for site in read.deltas} == {f"{MODULE}.to_q.weight", "conv_in.weight"}
    # A constant is of rank 1, so that all that is lost are the vectors: 12 of 168 numbers.
    assert told["measured"]["error"] == pytest.approx((12 / 168) ** 0.5, rel=1e-5)
    assert told["measured"]["energy unet.conv_in.bias"] == 0


def test_resizing_has_the_same_options(with_vectors, tmp_path, run, refused):
    words = ("resize", with_vectors, "--rank", "1", "-o", tmp_path / "out", "--to", "peft")
    assert "--drop bias,norm" in refused(*words, status=4)
    run(*words, "--drop", "bias,norm")
    assert set(read_adapter(tmp_path / "out").deltas) == {KEPT}


@pytest.mark.parametrize("command", ["convert", "merge", "resize"])
def test_a_sort_that_is_none_is_refused_before_any_work(command, tmp_path, refused):
    words = {"convert": ("b", "--to", "peft"), "merge": ("-o", "b"), "resize": ("-o", "b")}
    more = ("--rank", "1") if command == "resize" else ()
    said = refused(command, "a", *words[command], *more, "--drop", "biases", status=2)
    assert "[lora.drop]" in said
    assert "bias, norm" in said


def test_a_share_that_takes_the_base_is_told_without_it_as_a_norm(with_vectors, tmp_path, run):
    adapter = read_adapter(with_vectors)
    source = tmp_path / "dora.safetensors"
    write_adapter(replace(adapter, deltas={**adapter.deltas, KEPT: _dora()}, origin=None), source)
    told = run("convert", source, tmp_path / "out", "--to", "peft", "--drop", "norm,bias")
    assert {warning["code"] for warning in told["warnings"]} == {"lora.left_out_of_known"}
    assert "norm 4:" in told["warnings"][0]["message"]


@pytest.fixture
def of_rank_two(tmp_path):
    """Return a file with norms of 13: 3 and 4 at rank 2 in a full matrix, a LoRA's 12."""
    deltas = {
        KEPT: Lora(torch.eye(2, 6), torch.eye(8, 2) * 12 / 2**0.5, 2.0),
        Site("unet", f"{MODULE}.to_k.weight"): Full(torch.eye(8, 6) * _diagonal(4.0, 3.0)),
    }
    return _file(tmp_path / "rank_two.safetensors", deltas)


def _diagonal(*values):
    return torch.tensor([*values, *(0.0 for _ in range(6 - len(values)))])


@pytest.mark.parametrize("command", ["convert", "merge"])
def test_the_error_is_that_of_the_whole_exact_weights_included(of_rank_two, tmp_path, run, command):
    """Of 4 and 3 the lesser is lost, and the whole is the norm of 4, 3 and 12, which is 13."""
    output = tmp_path / "out.safetensors"
    words = {
        "convert": (of_rank_two, output),
        "merge": (of_rank_two, "--mode", "cat", "-o", output),
    }
    told = run(command, *words[command], "--to", "diffusers", "--lossy", "svd:1")
    assert told["measured"]["error"] == pytest.approx(3 / 13, rel=1e-5)
    assert told["measured"]["energy_of_all"] == pytest.approx(1 - (3 / 13) ** 2, rel=1e-5)
    assert f"energy {KEPT}" not in told["measured"]


@pytest.mark.parametrize("command", ["convert", "merge"])
def test_what_is_left_out_is_part_of_the_whole(of_rank_two, tmp_path, run, command):
    adapter = read_adapter(of_rank_two)
    deltas = {**adapter.deltas, VECTORS["bias"][0]: Full(torch.tensor([84.0]))}
    source = _file(tmp_path / "more.safetensors", deltas)
    output = tmp_path / "out.safetensors"
    words = {"convert": (source, output), "merge": (source, "--mode", "cat", "-o", output)}
    options = ("--to", "diffusers", "--lossy", "svd:1", "--drop", "bias")
    told = run(command, *words[command], *options)
    assert told["measured"]["error"] == pytest.approx(math.hypot(3, 84) / 85, rel=1e-5)
    assert "lora.left_out" in {warning["code"] for warning in told["warnings"]}


def test_an_error_without_what_depends_on_the_base_is_called_so(of_rank_two, tmp_path, run):
    """A DoRA stays as it is, beside a full difference that becomes a LoRA."""
    adapter = read_adapter(of_rank_two)
    text = Site("text_encoder", "text_model.encoder.layers.0.mlp.fc1.weight")
    source = _file(tmp_path / "more.safetensors", {**adapter.deltas, text: _dora()})
    told = run("convert", source, tmp_path / "out", "--to", "peft", "--lossy", "svd:1")
    assert told["measured"]["error_of_known"] == pytest.approx(3 / 13, rel=1e-5)
    assert "error" not in told["measured"]


def test_a_sort_that_does_not_occur_is_told(of_rank_two, tmp_path, run):
    words = ("convert", of_rank_two, tmp_path / "out.safetensors", "--to", "lycoris")
    told = run(*words, "--drop", "bias")
    assert [warning["code"] for warning in told["warnings"]] == ["lora.none_to_leave_out"]
    assert "--drop bias" in told["warnings"][0]["message"]


@pytest.mark.parametrize("word", ["", " ", ","])
def test_no_sort_at_all_is_refused(word, tmp_path, refused):
    said = refused("convert", "a", "b", "--to", "peft", "--drop", word, status=2)
    assert "[lora.drop]" in said
