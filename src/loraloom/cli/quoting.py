"""Words of a command that is shown, to be copied into a shell."""

from __future__ import annotations


def quoted(word: object) -> str:
    """Return a word with quotes around it if a shell would take it apart."""
    text = str(word)
    return f'"{text}"' if any(c in text for c in " '&()[]{}<>|;$*?") else text
