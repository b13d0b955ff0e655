"""What jobs tell about adapter files, as lines for a person."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from loraloom.cli.columns import table
from loraloom.cli.session import Session
from loraloom.cli.wording import named, warned
from loraloom.events import Warned

_SHOWN: Final = 20
"""Rows of a long table; all of them are in the JSON."""


def info_lines(told: Mapping[str, Any], session: Session) -> Iterator[str]:
    """Yield a table per file."""
    for number, info in enumerate(told["adapters"]):
        rows = [(named("info", name, session), text) for name, text in _info_rows(info)]
        yield from ("",) if number else ()
        yield info["path"]
        yield from table(rows, indent="  ")
        weights = [
            (name, each["kind"], _number(each["rank"]), _number(each["alpha"]))
            for name, each in info["weights"].items()
        ]
        yield from table(weights, indent="  ")


def verify_lines(told: Mapping[str, Any], session: Session) -> Iterator[str]:
    """Yield findings, the largest differences, and a verdict."""
    say = session.say
    findings: list[Mapping[str, Any]] = told["findings"]
    for finding in findings:
        yield say(f"verify.{finding['code']}", **finding)
    if told["unmeasured"]:
        yield say("verify.unmeasured", count=told["unmeasured"])
    if "second" in told:
        yield from _differences(told["differences"], session)
        yield say(
            "verify.compared",
            largest=f"{told['largest']:.3g}",
            tolerance=f"{told['tolerance']:.3g}",
            count=told["beyond"],
        )
        differing = [each for each in told["embeddings"] if each["error"] != 0]
        if told["embeddings"]:
            counts = {"count": told["embeddings_beyond"], "total": len(told["embeddings"])}
            yield say("verify.embeddings", **counts)
        yield from _differences(differing, session, "word")
    verdict = "verify.ok" if told["ok"] else "verify.not_ok"
    yield say(verdict, path=told["path"], count=told["weights"])


def diff_lines(told: Mapping[str, Any], session: Session) -> Iterator[str]:
    """Yield what headers, weights, changes and token embeddings differ in."""
    for code in ("metadata", "layers"):
        if pairs := told[code]:
            yield session.say(f"diff.{code}", count=len(pairs))
            rows = [(key, _short(one), _short(other)) for key, (one, other) in pairs.items()]
            yield from _cut(rows, session)
    differing = [each for each in told["differences"] if each["error"] != 0]
    yield session.say("diff.changes", count=len(differing), total=len(told["differences"]))
    yield from _differences(differing, session)
    taught = [each for each in told["embeddings"] if each["error"] != 0]
    if told["embeddings"]:
        counts = {"count": len(taught), "total": len(told["embeddings"])}
        yield session.say("diff.embeddings", **counts)
    yield from _differences(taught, session, "word")


def interference_lines(told: Mapping[str, Any], session: Session) -> Iterator[str]:
    """Yield a row per pair, then one per block, then triggers that clash, then the picture."""
    heads = [named("interference", name, session) for name in ("pair", *_PAIR)]
    rows = [
        (
            " × ".join(pair["adapters"]),
            _number(pair["cosine"]),
            _number(pair["norms"][0] / pair["norms"][1] if pair["norms"][1] else None),
            str(pair["shared"]),
            _share(pair["outputs"]),
            _share(pair["inputs"]),
        )
        for pair in told["pairs"]
    ]
    yield from table([heads, *rows])
    for warning in told["warnings"]:
        yield warned(Warned(**warning), session)
    yield ""
    yield session.say("interference.blocks")
    pairs = [" × ".join(pair["adapters"]) for pair in told["pairs"]]
    blocks = [
        (block, *(_number(each["cosine"]) for each in cosines))
        for block, cosines in told["blocks"].items()
    ]
    yield from table([("", *pairs), *blocks], indent="  ")
    for clash in told["triggers"]:
        code = "interference.same_trigger" if clash["exact"] else "interference.near_trigger"
        first, second = clash["adapters"]
        word, rival = clash["words"]
        yield session.say(code, first=first, second=second, word=word, rival=rival)
    yield from told["outputs"]


_PAIR: Final = ("cosine", "ratio", "shared", "outputs", "inputs")


def hash_lines(told: Mapping[str, Any], session: Session) -> Iterator[str]:
    """Yield the hashes of each file."""
    for file in told["files"]:
        yield file["path"]
        names = ("autov1", "autov2", "autov3", "sha256", "tensors")
        yield from table([(name, file[name]) for name in names if file[name]], indent="  ")
        if file["told_is_right"] is False:
            yield session.say("hash.told_wrong")


def metadata_lines(told: Mapping[str, Any], session: Session) -> Iterator[str]:
    """Yield the entries of a header, in the order of their names."""
    rows = [(key, _short(text, 400)) for key, text in sorted(told["metadata"].items())]
    yield from table(rows) if rows else (session.say("meta.none"),)


def saved_lines(told: Mapping[str, Any], session: Session) -> Iterator[str]:
    """Yield the file that was written."""
    yield told["path"]


def _differences(
    differences: Sequence[Mapping[str, Any]], session: Session, what: str = "place"
) -> Iterator[str]:
    rows = [
        (each[what], f"{each['error']:.3g}", _only(each["only"], session)) for each in differences
    ]
    yield from _cut(rows, session)


def _cut(rows: Sequence[Sequence[str]], session: Session) -> Iterator[str]:
    yield from table(rows[:_SHOWN], indent="  ")
    if len(rows) > _SHOWN:
        yield "  " + session.say("table.more", count=len(rows) - _SHOWN)


def _only(side: str | None, session: Session) -> str:
    return "" if side is None else session.say(f"diff.only_{side}")


def _info_rows(info: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a person wants to know, in order; what the file does not tell is left out."""
    told = ((name, info[name]) for name in ("rank", "alpha", "scale"))
    ranges = {name: _range(bounds) for name, bounds in told if bounds is not None}
    sites = " + ".join(f"{count} {part}" for part, count in info["sites"].items())
    rows = {
        "name": info["name"],
        "triggers": ", ".join(info["triggers"]),
        "family": info["family"] or " / ".join(info["families"]),
        "base": info["base"],
        "kinds": ", ".join(info["kinds"]),
        "format": info["format"],
        **ranges,
        "sites": sites,
        "embeddings": ", ".join(info["embeddings"]),
        "parameters": f"{info['parameters']:,} ({', '.join(info['dtypes'])})",
        "bytes": f"{info['bytes'] / 1024**2:.2f} MiB",
        "hashes": ", ".join(filter(None, (each["autov3"] for each in info["hashes"].values()))),
    }
    yield from ((name, text) for name, text in rows.items() if text)
    for name, fact in info["facts"].items():
        if fact not in _EMPTY and name not in _SPELLING:
            yield name, _fact(fact)


_EMPTY: Final[tuple[Any, ...]] = (None, "", {}, [], "{}", "[]")
_SPELLING: Final = frozenset({"loraloom.deltas", "lora_adapter_metadata"})
"""Entries that tell programs how tensors are to be read, of which the table tells the sum."""


def _fact(fact: Any) -> str:
    if isinstance(fact, float):
        return f"{fact:.4g}"
    plain = isinstance(fact, str | int)
    return str(fact) if plain else _short(json.dumps(fact, ensure_ascii=False), 100)


def _range(bounds: Sequence[float]) -> str:
    low, high = bounds
    return f"{low:g}" if low == high else f"{low:g} – {high:g}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _share(pair: Sequence[float] | None) -> str:
    return "-" if pair is None else f"{pair[0]:.3f} ({pair[1]:.3f})"


def _short(text: str | None, width: int = 60) -> str:
    if text is None:
        return "-"
    return text if len(text) <= width else f"{text[: width - 1]}…"
