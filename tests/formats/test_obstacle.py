"""What keeps a file from being written, and the advice that fits."""

from __future__ import annotations

import errno
import os
import shutil
from types import SimpleNamespace

import pytest

from loraloom.errors import OutputError
from loraloom.formats.obstacle import require_room, require_writable, unwritable


@pytest.mark.parametrize(
    ("number", "advised"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EACCES, "permissions"),
        (errno.EPERM, "permissions"),
        (errno.EROFS, "another disk"),
        (errno.ENOTDIR, "move that file away"),
        (errno.EEXIST, "move that file away"),
        (errno.EISDIR, "move that folder away"),
        (errno.ENAMETOOLONG, "shorter name"),
        (errno.EIO, "choose another folder"),
    ],
)
def test_advice_follows_the_system_s_reason(tmp_path, number, advised):
    error = unwritable(tmp_path / "deep" / "file", OSError(number, os.strerror(number)))
    assert advised in str(error)
    assert ("free some space" in str(error)) == (number in (errno.ENOSPC, errno.EDQUOT))
    assert str(tmp_path) in error.message("ko")
    assert error.exit_code == 1


def refused(path, *, folder=False):
    with pytest.raises(OutputError) as caught:
        require_writable(path, folder=folder)
    return caught.value.code


def test_what_can_be_made_is_not_refused_and_not_made(tmp_path):
    require_writable(tmp_path / "a" / "b" / "file")
    require_writable(tmp_path / "a" / "b", folder=True)
    (tmp_path / "there").write_bytes(b"")
    require_writable(tmp_path / "there")
    require_writable(tmp_path, folder=True)
    assert os.listdir(tmp_path) == ["there"]


def test_places_that_are_taken(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere" / "at all")
    assert refused(tmp_path / "file" / "deep" / "below") == "output.below_file"
    assert refused(tmp_path / "file", folder=True) == "output.below_file"
    assert refused(tmp_path / "lost", folder=True) == "output.below_file"
    assert refused(tmp_path) == "output.is_folder"
    assert refused(tmp_path / ("x" * 300)) == "output.name_too_long"


def test_folders_that_are_not_ours(tmp_path, monkeypatch):
    asked = []

    def access(path, mode):
        asked.append((path, mode))
        return False

    monkeypatch.setattr(os, "access", access)
    assert refused(tmp_path / "new" / "file") == "output.denied"
    assert asked == [(tmp_path, os.W_OK | os.X_OK)]


@pytest.mark.parametrize(
    ("user", "changes", "code"),
    [
        (0, {"f_flag": os.ST_RDONLY}, "output.read_only"),
        (0, {"f_bavail": 0, "f_bfree": 0}, "output.no_space"),
        (7, {"f_bavail": 0}, "output.no_space"),
        (0, {"f_bavail": 0}, None),
        (7, {"f_blocks": 0, "f_bavail": 0}, None),
    ],
)
def test_file_systems_that_take_nothing(tmp_path, monkeypatch, user, changes, code):
    found = {"f_flag": 0, "f_blocks": 9, "f_bavail": 1, "f_bfree": 1, **changes}
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(**found))
    monkeypatch.setattr(os, "geteuid", lambda: user)
    if code is None:
        require_writable(tmp_path / "file")
    else:
        assert refused(tmp_path / "file") == code


def test_room_is_asked_of_the_disk_that_will_be_written(tmp_path, monkeypatch):
    asked = []

    def usage(place):
        asked.append(place)
        return SimpleNamespace(free=3 * 2**20)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    require_room(tmp_path / "new" / "out", 3 * 2**20)
    with pytest.raises(OutputError, match=r"4 MiB.*3 MiB"):
        require_room(tmp_path / "new" / "out", 4 * 2**20)
    assert asked == [tmp_path, tmp_path]
