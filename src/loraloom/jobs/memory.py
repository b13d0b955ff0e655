"""How much memory the machine has, and what is told when it runs out."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from loraloom.errors import MemoryRanOut, ran_out_of_memory
from loraloom.events import Event

_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")


def total_memory() -> int | None:
    """Return the bytes of main memory that this process may use at most; None if not known."""
    if sys.platform == "win32":
        return _windows()
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
    try:
        limit = _LIMIT.read_text(encoding="ascii").strip()  # a container's
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total


def guarded(events: Iterable[Event], code: str) -> Iterator[Event]:
    """Pass a job's events on; too little memory is `MemoryRanOut` with the advice of `code`."""
    try:
        yield from events
    except (MemoryError, RuntimeError) as error:
        if ran_out_of_memory(error):
            raise MemoryRanOut(code) from error
        raise


class _Status(ctypes.Structure):
    """MEMORYSTATUSEX of the Windows API."""

    _fields_ = (
        ("length", ctypes.c_ulong),
        ("load", ctypes.c_ulong),
        *((name, ctypes.c_ulonglong) for name in ("total", "free", "page", "free_page")),
        *((name, ctypes.c_ulonglong) for name in ("virtual", "free_virtual", "free_extended")),
    )


def _windows() -> int | None:
    status = _Status(length=ctypes.sizeof(_Status))
    windll = getattr(ctypes, "windll", None)
    if windll is None or not windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None
    return int(status.total)
