"""What a header tells, without torch."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
import torch

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


def test_a_pickle_has_no_header(tmp_path):
    torch.save({}, tmp_path / "old.pt")
    with pytest.raises(ModelError) as caught:
        describe(tmp_path / "old.pt")
    assert caught.value.code == "file.pickle_headless"
