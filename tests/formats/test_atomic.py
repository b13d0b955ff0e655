"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import resource
from contextlib import contextmanager
from pathlib import Path

import pytest

from loraloom.errors import OutputError
from loraloom.formats.atomic import write_files


@contextmanager
def _largest_file(size):
    """Let writing fail as on a full disk once a file has this many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_missing_folders_are_made(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    write_files({path: b"content"})
    assert path.read_bytes() == b"content"
    assert os.listdir(path.parent) == ["file"]


def test_what_exists_stays(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(OutputError) as caught:
        write_files({tmp_path / "other": b"new", path: b"new"})
    assert caught.value.code == "output.exists"
    assert (os.listdir(tmp_path), path.read_bytes()) == (["file"], b"old")


def test_what_exists_is_replaced_when_asked(tmp_path):
    path, stale = tmp_path / "file", tmp_path / "stale"
    path.write_bytes(b"old")
    stale.write_bytes(b"old")
    write_files({path: b"new"}, overwrite=True, stale=[stale])
    assert (os.listdir(tmp_path), path.read_bytes()) == (["file"], b"new")


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with _largest_file(1000), pytest.raises(OutputError) as caught:
        write_files({tmp_path / "first": b"x", path: b"x" * 2000}, overwrite=True)
    assert caught.value.code == "output.unwritable"
    assert "File too large" in str(caught.value)
    assert (os.listdir(tmp_path), path.read_bytes()) == (["file"], b"old")


def test_a_full_disk_leaves_no_folder_that_was_made_for_the_files(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError) as caught:
        write_files({tmp_path / "a" / "b" / "first": b"x", tmp_path / "a" / "second": b"y"})
    assert caught.value.code == "output.no_space"
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(OutputError) as caught:
        write_files({tmp_path / "new" / "one": b"new", tmp_path / "file" / "below": b"new"})
    assert caught.value.code == "output.below_file"
    assert f"{tmp_path / 'file'} is a file" in str(caught.value)
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_in_the_files_place(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(OutputError) as caught:
        write_files({tmp_path / "other": b"new", tmp_path / "file": b"new"}, overwrite=True)
    assert caught.value.code == "output.is_folder"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("failing", ["second", "stale"])
def test_what_cannot_be_put_into_its_place_leaves_all_as_it_was(
    tmp_path, monkeypatch, failing, links
):
    """Renaming fails at the second file, or at one that is to be removed."""
    old = {name: tmp_path / name for name in ("first", "second", "stale")}
    for name, path in old.items():
        path.write_bytes(name.encode())
    failed = []

    def fails(rename):
        def call(self, target):
            if failing in (self.name, target.name) and not failed:
                failed.append(self)
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return rename(self, target)

        return call

    def without_links(*_):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "replace", fails(Path.replace))
    monkeypatch.setattr(Path, "rename", fails(Path.rename))
    if not links:
        monkeypatch.setattr(os, "link", without_links)
    new = {path: b"new" for path in (old["first"], old["second"], tmp_path / "made" / "third")}
    with pytest.raises(OutputError):
        write_files(new, overwrite=True, stale=[old["stale"]])
    assert sorted(os.listdir(tmp_path)) == sorted(old)
    assert {name: path.read_bytes() for name, path in old.items()} == {
        name: name.encode() for name in old
    }


def test_nothing_is_left_aside(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for path in (first, second):
        path.write_bytes(b"old")
    write_files({first: b"new", tmp_path / "third": b"new"}, overwrite=True, stale=[second])
    assert sorted(os.listdir(tmp_path)) == ["first", "third"]
    assert first.read_bytes() == b"new"
