"""Pickles are read as tensors, and never run."""

from __future__ import annotations

import os
import pickle

import pytest
import torch

from loraloom.errors import ModelError
from loraloom.formats.files import read_adapter, write_adapter

FLAT = "lora_te_text_model_encoder_layers_0_mlp_fc1"
TENSORS = {
    f"{FLAT}.lora_down.weight": torch.ones(4, 6),
    f"{FLAT}.lora_up.weight": torch.ones(5, 4),
    f"{FLAT}.alpha": torch.tensor(2.0),
}


class _Payload:
    """Makes a folder when a plain unpickler meets it."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (self.mark,)


def _refused(path, code):
    with pytest.raises(ModelError) as caught:
        read_adapter(path)
    assert caught.value.code == code
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("suffix", [".pt", ".bin", ".ckpt"])
@pytest.mark.parametrize("zipped", [True, False])
def test_an_old_file_is_read_and_converted(tmp_path, suffix, zipped):
    path = tmp_path / f"old{suffix}"
    torch.save(TENSORS, path, _use_new_zipfile_serialization=zipped)
    adapter = read_adapter(path)
    (delta,) = adapter.deltas.values()
    assert delta.scale == 0.5
    write_adapter(adapter, tmp_path / "new.safetensors")
    assert read_adapter(tmp_path / "new.safetensors").origin.shapes == adapter.origin.shapes


@pytest.mark.parametrize("zipped", [True, False])
def test_a_payload_is_refused_and_does_not_run(tmp_path, zipped):
    mark, path = tmp_path / "ran", tmp_path / "bad.pt"
    content = TENSORS | {"x": _Payload(mark)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    _refused(path, "file.pickle_refused")
    assert not mark.exists()
    with pytest.raises(ModelError, match=r"(posix|nt)\.mkdir") as caught:
        read_adapter(path)
    assert "weights_only" not in str(caught.value), "torch's advice is to open it unsafely"


def test_a_newer_pickle_is_refused_without_a_warning(tmp_path):
    (tmp_path / "new.pt").write_bytes(pickle.dumps(_Payload(tmp_path / "ran"), protocol=5))
    _refused(tmp_path / "new.pt", "file.pickle_refused")
    assert not (tmp_path / "ran").exists()


def test_the_payload_would_have_run(tmp_path):
    """Without this, the test above could not fail."""
    mark = tmp_path / "ran"
    pickle.loads(pickle.dumps(_Payload(mark)))
    assert mark.exists()


def test_a_bare_pickle_is_refused(tmp_path):
    mark, path = tmp_path / "ran", tmp_path / "bad.ckpt"
    path.write_bytes(pickle.dumps(_Payload(mark), protocol=2))
    _refused(path, "file.pickle_refused")
    assert not mark.exists()


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {3: torch.ones(2)}, torch.ones(2)])
def test_other_contents_are_refused(tmp_path, content):
    path = tmp_path / "other.pt"
    torch.save(content, path)
    _refused(path, "file.no_tensors")


@pytest.mark.parametrize("length", [0, 10, 300])
def test_truncated(tmp_path, length):
    path = tmp_path / "cut.pt"
    torch.save(TENSORS, path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ModelError) as caught:
        read_adapter(path)
    assert caught.value.code in ("file.unreadable", "file.pickle_refused")
