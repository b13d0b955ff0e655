"""A few of many names, for messages."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def excerpt(names: Collection[object], shown: int = 4) -> str:
    """Return the first few names and how many more there are: `a, b (+7)`."""
    first: Sequence[str] = [str(name) for name in list(names)[:shown]]
    rest = len(names) - len(first)
    return ", ".join(first) + (f" (+{rest})" if rest else "")
