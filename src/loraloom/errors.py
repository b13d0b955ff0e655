"""What can go wrong, told so that a person can act on it: what, where, and what to do.

Every error carries a stable code, which is a key of the message catalogue (`loraloom.text`), the
details that fill it, and the exit status with which the command line ends.
"""

from __future__ import annotations

from typing import ClassVar, Final

from loraloom.text import say

_MEMORY: Final = ("out of memory", "DefaultCPUAllocator", "CUBLAS_STATUS_ALLOC_FAILED")
"""Words of the errors by which torch says that a device, or the machine, has no memory left."""


class LoraLoomError(Exception):
    """A failure with a stable code, worded in the catalogue; exit status 1."""

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, /, **details: object) -> None:
        super().__init__(code)
        self.code = code
        self.details = details

    def __str__(self) -> str:
        return self.message("en")

    def message(self, language: str) -> str:
        """Return the full text in `language` ("en" or "ko"): what happened, where, what to do."""
        return say(self.code, language, **self.details)


class OutputError(LoraLoomError):
    """Something could not be written; nothing half-written is left behind."""


class UsageError(LoraLoomError):
    """The request itself is off: a flag, a recipe key, a value; exit status 2."""

    exit_code = 2


class DatasetError(LoraLoomError):
    """The training folder cannot be used as it is; exit status 3."""

    exit_code = 3


class ModelError(LoraLoomError):
    """A model or adapter file is missing, unreadable or does not fit; exit status 4."""

    exit_code = 4


class MemoryRanOut(LoraLoomError):
    """The device has too little memory for what was asked; exit status 5."""

    exit_code = 5


class Diverged(LoraLoomError):
    """Training produced a number that is not finite; exit status 6."""

    exit_code = 6


class SetupError(LoraLoomError):
    """The installation lacks something the request needs; exit status 7."""

    exit_code = 7


def ran_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error of Python or torch means that there was too little memory."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _MEMORY)
