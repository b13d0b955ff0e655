"""How much adapter files get in each other's way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

from loraloom.adapters.adapter import Adapter
from loraloom.composing.card import families_for, have_a_family
from loraloom.composing.overlap import Interference, Meeting, Pair, cosine_of
from loraloom.composing.overlap import interference as met
from loraloom.errors import UsageError
from loraloom.formats.files import read_adapter
from loraloom.jobs.lora.heat_map import write_heat_map
from loraloom.jobs.lora.model_files import open_base
from loraloom.jobs.lora.output import check_output
from loraloom.jobs.lora.telling_options import InterferenceOptions
from loraloom.jobs.lora.weights import free_name

_LEVELS = 3


def interference(options: InterferenceOptions) -> Mapping[str, Any]:
    """Return how adapters lie to each other in pairs, by block and by weight; draw it if asked."""
    if len(options.adapters) < 2:
        raise UsageError("lora.two_adapters")
    if options.output is not None:
        if options.output.suffix != ".png":
            raise UsageError("lora.picture_suffix", path=options.output)
        bases = [options.basis.base]
        check_output(options.output, options.adapters, force=options.force, bases=bases)
    adapters: dict[str, Adapter] = {}
    for path in options.adapters:
        adapters[free_name(path, adapters)] = read_adapter(path, family=options.kin.stated)
    found = met(adapters, open_base(options.basis.base))
    pairs = list(combinations(adapters, 2))
    blocks = _blocks(found, pairs)
    if options.output is not None:
        columns = [" × ".join(pair) for pair in pairs]
        write_heat_map(options.output, blocks, columns, overwrite=options.force)
    return {
        "pairs": [asdict(pair) for pair in found.pairs],
        "blocks": {
            block: [
                {"adapters": pair, "cosine": cosine}
                for pair, cosine in zip(pairs, cosines, strict=True)
            ]
            for block, cosines in blocks.items()
        },
        "meetings": [
            {**asdict(meeting), "place": str(meeting.place)} for meeting in found.meetings
        ],
        "triggers": [{**asdict(clash), "exact": clash.is_exact} for clash in found.triggers],
        "warnings": [
            {"code": code, "details": details} for code, details in _notes(adapters, found.pairs)
        ],
        "outputs": [] if options.output is None else [str(options.output)],
    }


def _blocks(found: Interference, pairs: Sequence[tuple[str, str]]) -> dict[str, list[float | None]]:
    """Return the cosine of each pair in each block, over the weights that both change."""
    blocks: dict[str, list[Meeting]] = {}
    for meeting in found.meetings:
        site = str(meeting.place.sites[0])
        blocks.setdefault(".".join(site.split(".")[:_LEVELS]), []).append(meeting)
    return {
        block: [cosine_of([each for each in meetings if each.adapters == pair]) for pair in pairs]
        for block, meetings in sorted(blocks.items())
    }


def _notes(
    adapters: Mapping[str, Adapter], pairs: Sequence[Pair]
) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield why figures of a pair say little: other families, or no weight in common."""
    for pair in pairs:
        first, second = pair.adapters
        both = [adapters[name] for name in pair.adapters]
        one, other = (" / ".join(families_for(each)) for each in both)
        named = {"first": first, "second": second}
        if not have_a_family(both):
            yield "interference.families", {**named, "one": one, "other": other}
        if pair.shared == 0:
            yield "interference.nothing_shared", named
