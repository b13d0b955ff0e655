"""Hashes against the recipes of those who defined them."""

from __future__ import annotations

import hashlib
import io

import torch
from safetensors.torch import save

from loraloom.formats.hashes import hash_file, kohya_hashes
from loraloom.formats.header import read_header
from loraloom.formats.tensor_file import TensorFile


def _addnet_hash_legacy(b):
    """kohya-ss/sd-scripts, library/train_util.py."""
    m = hashlib.sha256()
    b.seek(0x100000)
    m.update(b.read(0x10000))
    return m.hexdigest()[0:8]


def _addnet_hash_safetensors(b):
    """kohya-ss/sd-scripts, library/train_util.py."""
    hash_sha256 = hashlib.sha256()
    b.seek(0)
    n = int.from_bytes(b.read(8), "little")
    b.seek(n + 8)
    for chunk in iter(lambda: b.read(1024 * 1024), b""):
        hash_sha256.update(chunk)
    return hash_sha256.hexdigest()


def _large() -> dict[str, torch.Tensor]:
    return {"x": torch.arange(400_000, dtype=torch.float32), "y": torch.ones(3)}


def test_the_three_short_hashes(tmp_path):
    path = tmp_path / "large.safetensors"
    path.write_bytes(save(_large(), {"a": "b"}))
    content = path.read_bytes()
    header = read_header(path)
    hashes = hash_file(path, header.data_start)
    assert hashes.sha256 == hashlib.sha256(content).hexdigest()
    assert hashes.autov1 == hashlib.sha256(content[0x100000:0x110000]).hexdigest()[:8]
    assert hashes.autov2 == hashlib.sha256(content).hexdigest()[:10]
    assert hashes.autov3 == hashlib.sha256(content[header.data_start :]).hexdigest()[:12]


def test_autov3_does_not_change_with_the_metadata(tmp_path):
    found = []
    for text in ("short", "long" * 50):
        path = tmp_path / f"{text[:5]}.safetensors"
        path.write_bytes(save(_large(), {"a": text}))
        found.append(hash_file(path, read_header(path).data_start))
    assert found[0].autov3 == found[1].autov3
    assert found[0].autov2 != found[1].autov2


def test_kohya_hashes_are_kohyas():
    serialised = save(_large(), {"ss_steps": "12"})
    expected = {
        "sshs_model_hash": _addnet_hash_safetensors(io.BytesIO(serialised)),
        "sshs_legacy_hash": _addnet_hash_legacy(io.BytesIO(serialised)),
    }
    begin = 8 + int.from_bytes(serialised[:8], "little")
    # However the file comes in blocks.
    for size in (1000, 1 << 30):
        data = [serialised[at : at + size] for at in range(begin, len(serialised), size)]
        assert kohya_hashes(serialised[:begin], data) == expected
    # Our own serialisation differs in the order of metadata alone, which neither hash sees.
    file = TensorFile(_large(), {"ss_steps": "12"})
    assert kohya_hashes(file.header, file.data) == expected
