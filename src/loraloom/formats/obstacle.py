"""What keeps a file from being written, told with the advice that fits."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final

from loraloom.errors import OutputError

_CODES: Final[Mapping[int, str]] = MappingProxyType(
    {
        errno.ENOSPC: "output.no_space",
        getattr(errno, "EDQUOT", errno.ENOSPC): "output.no_space",
        errno.EACCES: "output.denied",
        errno.EPERM: "output.denied",
        errno.EROFS: "output.read_only",
        errno.ENOTDIR: "output.below_file",
        errno.EEXIST: "output.below_file",
        errno.EISDIR: "output.is_folder",
        errno.ENAMETOOLONG: "output.name_too_long",
    }
)
"""The system's number of an error -> code in the catalogue; others have general advice."""


def unwritable(path: Path, error: OSError) -> OutputError:
    """Return our error for a path that the system did not let us write."""
    code = _CODES.get(error.errno or 0, "output.unwritable")
    reason = error.strerror or error
    return OutputError(code, path=path, reason=reason, place=_nearest(path))


def require_writable(path: Path, *, folder: bool = False) -> None:
    """Raise OutputError if `path` cannot be written, as far as can be told without writing.

    It is to be a file, or a `folder`; folders on the way may be missing. What is there already is
    no obstacle here.
    """
    try:
        _check_name(path)
        if path.is_dir() and not folder:
            raise _system_error(errno.EISDIR)
        place = _nearest(path if folder else path.parent)
        if not place.is_dir():
            raise _system_error(errno.ENOTDIR)
        _check_file_system(place)
        if not os.access(place, os.W_OK | os.X_OK):
            raise _system_error(errno.EACCES)
    except OSError as error:
        raise unwritable(path, error) from error


def require_room(path: Path, size: int) -> None:
    """Raise OutputError if the disk that `path` is to lie on has less than `size` bytes left."""
    place = _nearest(path)
    free = shutil.disk_usage(place).free
    if free < size:
        told = {"needed": _mebibytes(size), "free": _mebibytes(free)}
        raise OutputError("output.too_little_space", path=path, place=place, **told)


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.3g} MiB"


def _check_name(path: Path) -> None:
    """Let the system refuse a name that it could not give to a file."""
    # What is missing can be made; the other two are told by their place. A name below a folder that
    # is missing is tried where that folder would be.
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        path.lstat()
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        (_nearest(path.parent) / path.name).lstat()


def _nearest(path: Path) -> Path:
    """Return `path`, or the nearest thing above it that exists."""
    path = path.absolute()
    return next(place for place in (path, *path.parents) if os.path.lexists(place))


def _check_file_system(place: Path) -> None:
    """Refuse a file system that is read-only or has no room at all for this user."""
    if not hasattr(os, "statvfs"):
        return
    found = os.statvfs(place)
    if found.f_flag & os.ST_RDONLY:
        raise _system_error(errno.EROFS)
    # What is kept back for the superuser is of no use to others.
    free = found.f_bavail if os.geteuid() else found.f_bfree
    if found.f_blocks and not free:
        raise _system_error(errno.ENOSPC)


def _system_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
