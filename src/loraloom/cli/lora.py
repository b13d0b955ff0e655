"""The command `lora info`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from loraloom.cli.columns import table
from loraloom.cli.command import Command, Request
from loraloom.cli.records import dumps
from loraloom.cli.session import Session
from loraloom.cli.wording import named
from loraloom.errors import UsageError


def _run(session: Session, request: Request) -> int:
    from loraloom.jobs.lora_info import lora_info

    if not request.words:
        raise UsageError("cli.no_files")
    found = [lora_info(Path(word)) for word in request.words]
    if session.json:
        print(dumps({"adapters": found}), file=session.out)
        return 0
    for number, info in enumerate(found):
        rows = [(named("info", name, session), text) for name, text in _rows(info)]
        lines = [*([""] if number else []), info["path"], *table(rows, indent="  ")]
        print(*lines, sep="\n", file=session.out)
    return 0


def _rows(info: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a person wants to know, in order; what the file does not tell is left out."""
    ranges = {name: _range(info[name]) for name in ("rank", "alpha", "scale")}
    sites = " + ".join(f"{count} {part}" for part, count in info["sites"].items())
    rows = {
        "name": info["name"],
        "triggers": ", ".join(info["triggers"]),
        "family": info["family"],
        "base": info["base"],
        "kinds": ", ".join(info["kinds"]),
        "format": info["format"],
        **ranges,
        "sites": sites,
        "parameters": f"{info['parameters']:,} ({', '.join(info['dtypes'])})",
        "bytes": f"{info['bytes'] / 1024**2:.2f} MiB",
        "hashes": ", ".join(hashes["autov3"] for hashes in info["hashes"].values()),
    }
    yield from ((name, text) for name, text in rows.items() if text)
    for name, fact in info["facts"].items():
        if fact is not None:
            yield name, f"{fact:.4g}" if isinstance(fact, float) else str(fact)


def _range(bounds: Sequence[float]) -> str:
    low, high = bounds
    return f"{low:g}" if low == high else f"{low:g} – {high:g}"


LORA_INFO: Final = Command(name="lora info", options=lambda: (), run=_run, words="FILE...")
