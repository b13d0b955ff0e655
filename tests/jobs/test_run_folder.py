"""The run's own folder and its log."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loraloom.errors import Diverged, OutputError
from loraloom.events import Event, Measured, PhaseStarted
from loraloom.jobs.run_folder import create_run_folder, recorded


def lines(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "events.jsonl").read_text(encoding="utf-8")
    return [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]


def full(*arguments: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_no_folder_that_would_block_the_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out" / "cat.run"
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OutputError) as caught:
            create_run_folder(folder, "seed = 1\n")
    assert caught.value.code == "output.no_space"
    assert not (tmp_path / "out").exists()
    create_run_folder(folder, "seed = 1\n")
    assert (folder / "recipe.toml").read_text() == "seed = 1\n"
    assert lines(folder) == []


def test_a_run_in_the_folder_of_another_begins_its_log_anew(tmp_path: Path) -> None:
    create_run_folder(tmp_path, "seed = 1\n")
    list(recorded(tmp_path, [PhaseStarted(phase="training")]))
    create_run_folder(tmp_path, "seed = 2\n")
    assert (tmp_path / "recipe.toml").read_text() == "seed = 2\n"
    assert lines(tmp_path) == []


def test_events_are_written_before_they_are_passed_on(tmp_path: Path) -> None:
    create_run_folder(tmp_path, "")
    events = [PhaseStarted(phase="training"), Measured(name="loss", value=math.nan)]
    for count, event in enumerate(recorded(tmp_path, events), start=1):
        assert event is events[count - 1]
        assert len(lines(tmp_path)) == count
    assert [(line["type"], line.get("value")) for line in lines(tmp_path)] == [
        ("phase_started", None),
        ("measured", None),
    ]


def failing(error: Exception) -> Iterator[Event]:
    yield PhaseStarted(phase="training")
    raise error


def test_errors_of_the_job_are_its_own(tmp_path: Path) -> None:
    create_run_folder(tmp_path, "")
    error = FileNotFoundError(errno.ENOENT, "gone", "cat.png")
    with pytest.raises(FileNotFoundError) as caught:
        list(recorded(tmp_path, failing(error)))
    assert caught.value is error


def test_an_error_that_ends_the_run_is_in_its_log(tmp_path: Path) -> None:
    create_run_folder(tmp_path, "")
    error = Diverged("train.diverged", adapter="cat", step=3)
    with pytest.raises(Diverged):
        list(recorded(tmp_path, failing(error)))
    assert lines(tmp_path)[-1]["code"] == "train.diverged"
    assert '"cat" broke at step 3' in lines(tmp_path)[-1]["message"]


def test_a_log_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"events\.jsonl"):
        list(recorded(tmp_path / "nowhere", [PhaseStarted(phase="training")]))


def test_a_log_on_a_full_disk_keeps_whole_lines(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    create_run_folder(tmp_path, "")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
    try:
        with pytest.raises(OutputError):
            list(recorded(tmp_path, [PhaseStarted(phase="training")] * 9))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert 0 < len(lines(tmp_path)) < 9
