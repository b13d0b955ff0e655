"""Headers of safetensors files: read as the library reads them, and distrusted."""

from __future__ import annotations

import json
import struct

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save, save_file

from loraloom.errors import ModelError
from loraloom.formats.header import read_header, read_numbers

ENTRY = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


def _file(path, header, data=b"\0" * 24):
    """Write a file with this header, given as JSON text or as what becomes it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def _refused(path, reason):
    with pytest.raises(ModelError) as caught:
        read_header(path)
    assert caught.value.code == "file.not_safetensors"
    assert reason in str(caught.value.details["reason"])
    assert str(path) in str(caught.value)


def test_it_tells_what_the_library_tells(tmp_path):
    tensors = {
        "half": torch.ones(3, 5, dtype=torch.float16),
        "brain": torch.ones((), dtype=torch.bfloat16),
        "eight": torch.ones(7, dtype=torch.float8_e4m3fn),
        "whole": torch.arange(4),
        "none": torch.ones(0, 3),
    }
    path = tmp_path / "some.safetensors"
    save_file(tensors, path, metadata={"a": "b", "가": "나"})
    header = read_header(path)
    assert header.metadata == {"a": "b", "가": "나"}
    with safe_open(path, "pt") as file:
        for name in tensors:
            entry, expected = header.entries[name], file.get_slice(name)
            assert (entry.dtype, list(entry.shape)) == (expected.get_dtype(), expected.get_shape())
            begin = header.data_start + entry.begin
            data = path.read_bytes()[begin : begin + entry.end - entry.begin]
            assert data == tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes()
    assert header.entries.keys() == tensors.keys()


@pytest.mark.parametrize(
    "name",
    ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8"],
)
def test_single_numbers_are_read_without_torch(tmp_path, name):
    path = tmp_path / "some.safetensors"
    number = torch.tensor(19 / 7).to(getattr(torch, name))
    save_file({"alpha": number, "one": number.view(1).clone(), "two": torch.zeros(2)}, path)
    header = read_header(path)
    assert read_numbers(path, header, ["alpha", "one"]) == {
        "alpha": float(number),
        "one": float(number),
    }
    with pytest.raises(ModelError, match="two should hold one number"):
        read_numbers(path, header, ["two"])


@pytest.mark.parametrize("length", [0, 1, 7, 8, 20, -25, -1])
def test_truncated(tmp_path, length):
    whole = save({"x": torch.ones(2, 3)})
    path = tmp_path / "cut.safetensors"
    path.write_bytes(whole[:length])
    with pytest.raises(ModelError):
        read_header(path)


def test_a_length_beyond_the_file(tmp_path):
    path = tmp_path / "liar.safetensors"
    path.write_bytes(struct.pack("<Q", 2**63) + b"{}")
    _refused(path, f"a header of {2**63} bytes")


def test_a_length_beyond_the_limit_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 150_000_000))
        file.truncate(200_000_000)
    _refused(path, "a header of 150000000 bytes")


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"[1, 2]", "no JSON object"),
        (b"{", "Expecting"),
        (b"\xff\xfe", "utf"),
        ("{}".encode("utf-16"), "utf"),
        (b'{"x": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"x": ' + b"1" * 5000 + b"}", "digits"),
        (b'{"x": %b, "x": %b}' % ((json.dumps(ENTRY).encode(),) * 2), "x occurs twice"),
        (b'{"__metadata__": {"a": "1", "a": "2"}}', "a occurs twice"),
        ({"__metadata__": {"a": 1}}, "'a' is no text"),
        ({"__metadata__": []}, "no JSON object"),
        ({"x": 5}, "malformed"),
        ({"x": ENTRY | {"more": 1}}, "malformed"),
        ({"x": ENTRY | {"shape": [2, -3]}}, "malformed"),
        ({"x": ENTRY | {"shape": [True, 6]}}, "malformed"),
        ({"x": ENTRY | {"shape": [2.0, 3]}}, "malformed"),
        ({"x": ENTRY | {"data_offsets": [0, 24, 48]}}, "malformed"),
        ({"x": ENTRY | {"dtype": "F31"}}, "unknown number type"),
        ({"x": ENTRY | {"shape": [0, 2**63], "data_offsets": [0, 0]}}, "absurd shape"),
        ({"x": ENTRY | {"shape": [1] * 1000}}, "absurd shape"),
        ({"x": ENTRY | {"shape": [2**40, 2**40]}}, "does not take 24 bytes"),
        ({"x": ENTRY | {"shape": [2, 4]}}, "does not take 24 bytes"),
        ({"x": ENTRY | {"data_offsets": [24, 0]}}, "does not take -24 bytes"),
        ({"x": ENTRY, "y": ENTRY}, "'y' begins at byte 0 of the data instead of 24"),
        ({"x": ENTRY | {"data_offsets": [4, 28]}}, "begins at byte 4"),
        ({"x": ENTRY | {"shape": [2, 4], "data_offsets": [0, 32]}}, "the tensors take 32 bytes"),
        ({"x": ENTRY | {"shape": [2], "data_offsets": [0, 8]}}, "the tensors take 8 bytes"),
    ],
)
def test_lies_in_the_header(tmp_path, header, reason):
    _refused(_file(tmp_path / "liar.safetensors", header), reason)


def test_a_missing_file(tmp_path):
    with pytest.raises(ModelError) as caught:
        read_header(tmp_path / "none.safetensors")
    assert caught.value.code == "file.missing"


def test_a_folder_is_not_read(tmp_path):
    with pytest.raises(ModelError) as caught:
        read_header(tmp_path)
    assert caught.value.code == "file.unreadable"


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2], ids=str)
def test_every_eight_bit_number_is_what_torch_has_it_for(tmp_path, dtype):
    numbers = torch.arange(256, dtype=torch.uint8).view(dtype)
    save_file({f"{n}": numbers[n].reshape(1) for n in range(256)}, tmp_path / "x.safetensors")
    read = read_numbers(
        tmp_path / "x.safetensors", read_header(tmp_path / "x.safetensors"), map(str, range(256))
    )
    found = torch.tensor([read[str(n)] for n in range(256)])
    assert torch.equal(found.nan_to_num(nan=-1.5), numbers.float().nan_to_num(nan=-1.5))


def test_numbers_of_every_other_type_are_read(tmp_path):
    whole = (torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int8, torch.int64)
    tensors = {str(dtype): torch.tensor(100, dtype=dtype) for dtype in whole}
    tensors |= {"yes": torch.tensor(True), "no": torch.tensor([False])}
    path = tmp_path / "x.safetensors"
    save_file(tensors, path)
    expected = {name: float(tensor) for name, tensor in tensors.items()}
    assert read_numbers(path, read_header(path), tensors) == expected
    entry = {"dtype": "F8_E8M0", "shape": [], "data_offsets": [0, 1]}
    for byte, value in ((127, 1.0), (130, 8.0), (0, 2.0**-127)):
        _file(path, {"x": entry}, bytes([byte]))
        assert read_numbers(path, read_header(path), ["x"]) == {"x": value}
