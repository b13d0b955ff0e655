"""What a header tells, without torch."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from loraloom.errors import ModelError
from loraloom.formats.coding import outline_of
from loraloom.formats.files import write_adapter
from loraloom.formats.summary import describe
from loraloom.formats.table import CODECS


@pytest.mark.parametrize("format", ["kohya", "diffusers", "peft"])
def test_the_header_tells_what_the_adapter_is(tmp_path, adapter, format):
    path = tmp_path / ("cat" if CODECS[format].is_folder else "cat.safetensors")
    write_adapter(adapter, path, format)
    summary = describe(path)
    assert summary.format == format
    assert summary.card == adapter.card
    assert summary.layers == outline_of(adapter).layers
    assert summary.kinds == ("lora",)
    assert summary.dtypes == ("F32",)
    assert summary.parameter_count == adapter.parameter_count
    assert summary.ranks == (1, 3)
    assert summary.scales == (pytest.approx(1 / 3), 2.0)
    assert {part: set(sites) for part, sites in summary.sites_by_part.items()} == {
        part: {site for site in adapter.deltas if site.part == part}
        for part in ("unet", "text_encoder")
    }
    files = [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
    assert summary.size == sum(file.stat().st_size for file in files)
    weights = {f.name if f == path else str(f.relative_to(path)): f for f in files}
    for name, hashes in summary.hashes.items():
        assert hashes.sha256 == hashlib.sha256(weights[name].read_bytes()).hexdigest()
    assert len(summary.hashes) == (2 if format == "peft" else 1)


def test_kohyas_hash_in_the_header_is_that_of_the_file(tmp_path, adapter):
    write_adapter(adapter, tmp_path / "cat.safetensors")
    summary = describe(tmp_path / "cat.safetensors")
    assert summary.hashes["cat.safetensors"].tensors == summary.metadata["sshs_model_hash"]


def test_torch_is_not_loaded(tmp_path, adapter):
    write_adapter(adapter, tmp_path / "cat.safetensors")
    script = (
        "import sys; from pathlib import Path; from loraloom.formats import describe;"
        "print(describe(Path(sys.argv[1])).ranks, 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "cat.safetensors")]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert result.stdout == "(1, 3) False\n"


def test_a_pickle_tells_what_its_safetensors_file_does(tmp_path, adapter):
    write_adapter(adapter, tmp_path / "cat.safetensors")
    torch.save(load_file(tmp_path / "cat.safetensors"), tmp_path / "cat.pt")
    found, expected = describe(tmp_path / "cat.pt"), describe(tmp_path / "cat.safetensors")
    assert found.layers == expected.layers
    assert found.dtypes == expected.dtypes
    assert found.parameter_count == expected.parameter_count
    (hashes,) = found.hashes.values()
    assert hashes.sha256 == hashlib.sha256((tmp_path / "cat.pt").read_bytes()).hexdigest()
    assert hashes.autov3 is hashes.tensors is None


def test_a_pickle_with_anything_else_in_it_is_refused(tmp_path):
    torch.save({"run": print}, tmp_path / "old.pt")
    with pytest.raises(ModelError) as caught:
        describe(tmp_path / "old.pt")
    assert caught.value.code == "file.pickle_refused"


def test_what_a_kind_has_not_is_not_told(tmp_path):
    kinds = {
        "lokr": {"lokr_w1": (2, 3), "lokr_w2": (4, 4)},
        "ia3": {"weight": (8,), "on_input": ()},
        "oft": {"oft_blocks": (2, 4, 4)},
    }
    name = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
    scales = {}
    for kind, parts in kinds.items():
        tensors = {f"{name}.{part}": torch.ones(shape) for part, shape in parts.items()}
        save_file(
            {**tensors, f"{name}.alpha": torch.tensor(6.0)} if kind != "ia3" else tensors,
            tmp_path / kind,
        )
        summary = describe(tmp_path / kind)
        assert summary.kinds == (kind,)
        assert summary.ranks is None
        assert summary.alphas is None
        scales[kind] = summary.scales
    # Two whole factors have no rank to divide by, and LyCORIS applies them at 1.
    assert scales == {"lokr": (1.0, 1.0), "ia3": None, "oft": None}


def test_pefts_own_scale_of_two_whole_factors_is_told(tmp_path):
    name = "base_model.model.model.layers.0.self_attn.q_proj"
    tensors = {f"{name}.lokr_w1": torch.ones(2, 2), f"{name}.lokr_w2": torch.ones(4, 4)}
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    config = {"peft_type": "LOKR", "r": 4, "alpha": 6}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    summary = describe(tmp_path)
    assert (summary.ranks, summary.alphas, summary.scales) == (None, None, (1.5, 1.5))


def test_an_alpha_of_eight_bits_is_read_without_torch(tmp_path, adapter):
    write_adapter(adapter, tmp_path / "cat.safetensors")
    tensors = load_file(tmp_path / "cat.safetensors")
    eight = {k: t.to(torch.float8_e4m3fn) for k, t in tensors.items()}
    save_file(eight, tmp_path / "eight.safetensors")
    alphas = [float(t) for k, t in eight.items() if k.endswith(".alpha")]
    assert describe(tmp_path / "eight.safetensors").alphas == (min(alphas), max(alphas))
