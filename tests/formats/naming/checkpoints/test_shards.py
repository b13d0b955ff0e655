"""The index of a model in several files."""

from __future__ import annotations

import json

import pytest
import torch
from huggingface_hub import save_torch_state_dict

from loraloom.errors import ModelError
from loraloom.formats.naming.checkpoints.shards import read_index


def test_an_index_as_the_hub_library_writes_it(tmp_path):
    tensors = {f"blocks.{at}.weight": torch.zeros(100) for at in range(3)}
    save_torch_state_dict(
        tensors,
        tmp_path,
        max_shard_size=900,
        filename_pattern="diffusion_pytorch_model{suffix}.safetensors",
    )
    file = tmp_path / "diffusion_pytorch_model.safetensors.index.json"
    index = read_index(file.read_bytes(), str(file))
    assert len(index.files) == 2
    assert all((tmp_path / name).is_file() for name in index.files)
    assert sorted(name for each in index.files for name in index.names_in(each)) == sorted(tensors)
    assert json.loads(index.to_json()) == json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"weight_map": {"a": 1}}',
        '{"weight_map": ["a"]}',
        "[" * 10_000,
        *(
            json.dumps({"weight_map": {"a": file}})
            for file in ("../x.safetensors", "/x.safetensors", "c:\\x.safetensors", "x.bin", "")
        ),
    ],
)
def test_an_index_that_is_none_or_points_outside_is_an_error(text):
    with pytest.raises(ModelError, match="some index"):
        read_index(text, "some index")
