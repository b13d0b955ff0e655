"""A hold on an open file that one process at a time has, and loses when it ends."""

from __future__ import annotations

import errno
import io
import sys
from typing import Final

_TAKEN: Final = frozenset({errno.EACCES, errno.EAGAIN, errno.EDEADLK})

if sys.platform == "win32":
    import msvcrt

    # A lock keeps others from reading what it covers, so it covers what no file reaches.
    _FAR: Final = 2**40

    def _lock(file: io.FileIO) -> None:
        file.seek(_FAR)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: io.FileIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def take_hold(file: io.FileIO) -> bool:
    """Take hold of an open file until it is closed; False where another process has it.

    On a file system that knows no locks nobody is kept out.
    """
    try:
        _lock(file)
    except OSError as error:
        return error.errno not in _TAKEN
    return True
