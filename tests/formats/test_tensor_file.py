"""Files as the safetensors library would write them, without ever holding them whole."""

from __future__ import annotations

import tracemalloc

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save

from loraloom.errors import ModelError
from loraloom.formats.atomic import write_files
from loraloom.formats.header import read_header
from loraloom.formats.tensor_file import TensorFile

DTYPES = [
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.float8_e5m2,
    torch.float8_e4m3fn,
    torch.int16,
    torch.uint16,
    torch.float16,
    torch.bfloat16,
    torch.int32,
    torch.uint32,
    torch.float32,
    torch.complex64,
    torch.float64,
    torch.int64,
    torch.uint64,
]


def _written(tensors, metadata):
    return b"".join(bytes(block) for block in TensorFile(tensors, metadata))


def _parts(content):
    end = 8 + int.from_bytes(content[:8], "little")
    return content[8:end].rstrip(), content[end:]


def test_it_is_what_the_library_writes():
    """The header too, where the library's order of metadata is certain: of one entry."""
    tensors = {
        f"{name} {dtype}": torch.arange(1, 4).to(dtype) for dtype in DTYPES for name in ("b", "a")
    }
    tensors |= {"고양이": torch.ones(2), "none": torch.ones(0, 3), "number": torch.tensor(2.5)}
    ours = _parts(_written(tensors, {"a": "한글"}))
    assert ours == _parts(save(tensors, {"a": "한글"}))


def test_metadata_are_sorted_and_read_by_the_library(tmp_path):
    path = tmp_path / "some.safetensors"
    metadata = {"z": "2", "a": "한글 \x01 \\ /", "m": '"\n'}
    tensors = {"x": torch.arange(5)}
    write_files({path: TensorFile(tensors, metadata)})
    assert path.read_bytes() == _written(tensors, dict(reversed(metadata.items())))
    with safe_open(path, "pt") as file:
        assert file.metadata() == metadata
        assert torch.equal(file.get_tensor("x"), torch.arange(5))
    assert read_header(path).metadata == metadata
    assert read_header(path).data_start % 8 == 0


def test_strides_and_shared_memory_do_not_matter():
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {"a": base.T, "b": base[:, 1], "c": base}
    plain = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    assert _written(tensors, {}) == _written(plain, {})


def test_nothing_is_held_whole(tmp_path):
    """Python holds next to nothing, whatever the tensors' size."""
    file = TensorFile({f"t{n}": torch.ones(1 << 20) for n in range(8)}, {})
    tracemalloc.start()
    try:
        write_files({tmp_path / "large.safetensors": file})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "large.safetensors").stat().st_size > 8 << 22
    assert peak < 1 << 20


def test_a_number_type_that_files_do_not_know():
    with pytest.raises(ModelError) as caught:
        TensorFile({"x": torch.ones(2, dtype=torch.complex128)}, {})
    assert caught.value.code == "format.dtype"
    assert "complex128" in caught.value.message("ko")
