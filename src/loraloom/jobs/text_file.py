"""The text of a file that a person named."""

from __future__ import annotations

from pathlib import Path

from loraloom.errors import UsageError


def read_text(path: Path | str) -> str:
    """Return a file's text in UTF-8, with or without a mark at its start.

    A name that no file can have is a `UsageError`; OSError and UnicodeDecodeError are passed on.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise
    except ValueError as error:  # a zero character, or half of a letter
        raise UsageError("option.no_name", name=repr(str(path))) from error
