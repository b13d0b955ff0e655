"""What the doctor finds, and what it advises."""

import shutil
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from loraloom.errors import SetupError
from loraloom.jobs import doctor
from loraloom.jobs.memory import total_memory
from loraloom.playground import packaged
from loraloom.text import LANGUAGES, say


def found(tmp_path: Path):
    return {finding.name: finding for finding in doctor.examine(tmp_path)}


@pytest.fixture(autouse=True)
def plain_machine(monkeypatch):
    """Let the machine have no GPU, and the package its weights, whatever is the case."""
    monkeypatch.setattr(doctor, "_has_gpu", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(packaged, "base_folder", lambda: Path("base"))


def test_a_sound_installation_has_nothing_that_failed(tmp_path):
    findings = found(tmp_path)
    assert [name for name, each in findings.items() if each.state == "failed"] == []
    assert findings["python"].value.startswith(f"{sys.version_info[0]}.{sys.version_info[1]}.")
    assert findings["torch"].value.startswith(torch.__version__)
    assert findings["device"].state == "note"


def test_a_gpu_with_a_torch_for_the_cpu_is_noted_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "_has_gpu", lambda: True)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    finding = found(tmp_path)["torch"]
    assert (finding.state, finding.code) == ("note", "doctor.torch_without_gpu")
    for language in LANGUAGES:
        assert "https://pytorch.org/get-started/locally/" in say(finding.code, language)


def test_a_gpu_whose_driver_is_silent_is_noted(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "_has_gpu", lambda: True)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert found(tmp_path)["torch"].code == "doctor.gpu_unusable"


def test_what_is_missing_has_failed(tmp_path, monkeypatch):
    def missing():
        raise SetupError("playground.missing", path="weights")

    def refused(*, dir):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(packaged, "base_folder", missing)
    monkeypatch.setattr(doctor, "_NEEDED", ("a_library_that_is_not_there",))
    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    monkeypatch.setitem(sys.modules, "torch", None)
    failed = {name: each for name, each in found(tmp_path).items() if each.state == "failed"}
    assert set(failed) == {"torch", "playground", "writing", "a_library_that_is_not_there"}
    for each in failed.values():
        assert all(say(each.code, language, **each.details) for language in LANGUAGES)


def test_little_room_is_noted(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1))
    monkeypatch.setattr(doctor, "total_memory", lambda: 1)
    findings = found(tmp_path)
    assert findings["disk"].code == "doctor.disk"
    assert findings["memory"].code == "doctor.memory"


def test_memory_is_a_plausible_number_of_bytes():
    total = total_memory()
    assert total is None or 2**28 < total < 2**50
