"""Whether an adapter file is sound, and whether another does the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from loraloom.adapters.adapter import Adapter
from loraloom.composing.comparison import Difference, compare
from loraloom.composing.embedding_comparison import EmbeddingDifference, compare_embeddings
from loraloom.composing.inspection import inspect
from loraloom.formats.files import read_adapter
from loraloom.formats.summary import describe
from loraloom.jobs.lora.model_files import open_base
from loraloom.jobs.lora.telling_options import DiffOptions, VerifyOptions

_BROKEN = ("not_a_number", "infinite", "overflow")


def verify(options: VerifyOptions) -> Mapping[str, Any]:
    """Return what is suspicious about an adapter, and how its changes differ from another's.

    `ok` is false if numbers are none, or if a change or what a token means differs by more than the
    tolerance.
    """
    base = open_base(options.basis.base)
    family = options.kin.stated
    first = read_adapter(options.first, family=family)
    found = inspect(_named(first, options.first), base)
    findings = [
        {
            "place": str(finding.place),
            "code": finding.code,
            "part": finding.part,
            "count": finding.count,
            "times": finding.times,
        }
        for finding in found.findings
    ]
    broken = {finding.place for finding in found.findings if finding.code in _BROKEN}
    ok = not broken
    told: dict[str, Any] = {
        "path": str(options.first),
        "weights": len(first.deltas),
        "unmeasured": sum(
            norm is None and place not in broken for place, norm in found.norms.items()
        ),
        "findings": findings,
    }
    if options.second is not None:
        second = read_adapter(options.second, family=family)
        differences, words = compare(first, second, base), compare_embeddings(first, second)
        beyond = [each for each in differences if not each.error <= options.tolerance]
        taught = [each for each in words if not each.error <= options.tolerance]
        told |= {
            "second": str(options.second),
            "tolerance": options.tolerance,
            "largest": max((each.error for each in differences), default=0.0),
            "beyond": len(beyond),
            "differences": _told(differences),
            "embeddings_beyond": len(taught),
            "embeddings": _told_words(words),
        }
        ok = ok and not beyond and not taught
    return {**told, "ok": ok}


def diff(options: DiffOptions) -> Mapping[str, Any]:
    """Return in what two adapters differ: headers, weights, what these do, and what tokens mean."""
    paths, family = (options.first, options.second), options.kin.stated
    first, second = (read_adapter(path, family=family) for path in paths)
    differences = compare(first, second, open_base(options.basis.base))
    headers = [describe(path, hashed=False, family=family).metadata for path in paths]
    return {
        "first": str(options.first),
        "second": str(options.second),
        "metadata": _pairs(headers[0], headers[1]),
        "layers": _pairs(_layers(first), _layers(second)),
        "differences": _told(differences),
        "embeddings": _told_words(compare_embeddings(first, second)),
    }


def _named(adapter: Adapter, path: Path) -> Adapter:
    """Return the adapter by the name of its file if it has none of its own."""
    name = adapter.card.name or path.stem
    return replace(adapter, card=replace(adapter.card, name=name))


def _told(differences: tuple[Difference, ...]) -> list[Mapping[str, Any]]:
    """Return differences as plain data, the largest first; NaN above all."""
    ordered = sorted(differences, key=lambda each: (each.error == each.error, -each.error))
    return [
        {
            "place": str(each.place),
            "error": each.error,
            "norms": each.norms,
            "only": each.only,
        }
        for each in ordered
    ]


def _told_words(differences: tuple[EmbeddingDifference, ...]) -> list[Mapping[str, Any]]:
    """Return the differences of token embeddings as plain data, by the tokens' names."""
    return [{"word": each.word, "error": each.error, "only": each.only} for each in differences]


def _layers(adapter: Adapter) -> dict[str, str]:
    """Return what each delta is, in a few words."""
    return {
        str(place): " ".join(
            filter(
                None,
                (
                    delta.kind,
                    "" if delta.rank is None else f"rank {delta.rank}",
                    "" if delta.alpha is None else f"alpha {delta.alpha:g}",
                ),
            )
        )
        for place, delta in adapter.deltas.items()
    }


def _pairs(
    one: Mapping[str, str], other: Mapping[str, str]
) -> dict[str, tuple[str | None, str | None]]:
    """Return what two tables say differently, None where one says nothing."""
    keys = sorted({*one, *other})
    return {key: (one.get(key), other.get(key)) for key in keys if one.get(key) != other.get(key)}
