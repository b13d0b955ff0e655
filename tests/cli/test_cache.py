"""`cache list` and `cache prune`, and where the cache is."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from loraloom.cli.main import main
from loraloom.errors import UsageError
from loraloom.jobs.cache_options import CachePruneOptions, cache_folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Return a cache of three files, unused for 0, 10 and 20 days, named by the environment."""
    monkeypatch.setenv("LORALOOM_CACHE_DIR", str(tmp_path))
    for number, days in enumerate((0, 10, 20)):
        path = tmp_path / "latents" / "ab" / "cd" / f"{number}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 2**20)
        used = time.time() - days * 86400 - 60
        os.utime(path, (used, used))
    return tmp_path


def _names(cache: Path) -> list[str]:
    return sorted(path.stem for path in cache.rglob("*.safetensors"))


def test_the_cache_is_listed_by_encoder(cache, capsys):
    assert main(["cache", "list"]) == 0
    shown = capsys.readouterr().out
    assert f"{cache}: 3 files, 3.0 MiB" in shown
    assert "ab" in shown
    assert main(["cache", "list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["files"], told["bytes"]) == (3, 3 * 2**20)
    assert [each["encoder"] for each in told["encoders"]] == ["ab"]


def test_pruning_by_age_size_and_all(cache, capsys):
    assert main(["cache", "prune", "--unused_days", "15", "--dry_run"]) == 0
    assert "1 files, 1.0 MiB; 2 files" in capsys.readouterr().out
    assert _names(cache) == ["0", "1", "2"]
    assert main(["cache", "prune", "--unused_days", "15"]) == 0
    assert _names(cache) == ["0", "1"]
    assert main(["cache", "prune", "--max_size", "1.5MiB"]) == 0
    assert _names(cache) == ["0"]
    assert main(["cache", "prune", "--all", "--json"]) == 0
    assert _names(cache) == []
    assert not list((cache / "latents").iterdir())


def test_pruning_wants_to_be_told_what(cache, capsys):
    assert main(["cache", "prune"]) == 2
    assert "--all" in capsys.readouterr().err
    assert main(["cache", "prune", "--max_size", "big"]) == 2
    assert _names(cache) == ["0", "1", "2"]


def test_sizes_have_units():
    sizes = {"2GB": 2_000_000_000, "1.5 MiB": 1_572_864, "10kb": 10_000, "7": 7, 12: 12}
    for written, expected in sizes.items():
        assert CachePruneOptions(max_size=written).max_size == expected
    with pytest.raises(UsageError):
        CachePruneOptions(max_size="2XB")


def test_the_folder_is_chosen_or_named_or_the_systems(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    named = {"LORALOOM_CACHE_DIR": "/b", "XDG_CACHE_HOME": "/c"}
    assert cache_folder(Path("/a"), named) == Path("/a")
    assert cache_folder(None, named) == Path("/b")
    assert cache_folder(None, {"XDG_CACHE_HOME": "/c"}) == Path("/c/loraloom")
    assert cache_folder(None, {}) == Path.home() / ".cache" / "loraloom"
