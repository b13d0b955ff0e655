"""Numbers that go on where a folder's pictures end."""

from __future__ import annotations

from pathlib import Path

import pytest

from loraloom.errors import OutputError
from loraloom.generation.numbering import next_number


def test_numbers_count_on(tmp_path: Path) -> None:
    assert next_number(tmp_path / "none yet") == 0
    for name in ("00003-42.png", "00011-grid.png", "100000-7.png", "notes.txt", "12-1.png"):
        (tmp_path / name).touch()
    assert next_number(tmp_path) == 100001


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(OutputError) as caught:
        next_number(tmp_path)
    assert caught.value.code == "output.denied"
