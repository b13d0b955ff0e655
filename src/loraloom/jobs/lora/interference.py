"""How much adapter files get in each other's way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

from loraloom.adapters.adapter import Adapter
from loraloom.composing.overlap import Interference, Meeting
from loraloom.composing.overlap import interference as met
from loraloom.errors import UsageError
from loraloom.formats.files import read_adapter
from loraloom.jobs.lora.files import check_output
from loraloom.jobs.lora.heat_map import write_heat_map
from loraloom.jobs.lora.model_files import open_base
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
        check_output(options.output, options.adapters, force=options.force)
    adapters: dict[str, Adapter] = {}
    for path in options.adapters:
        adapters[free_name(path, adapters)] = read_adapter(path)
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
        "outputs": [] if options.output is None else [str(options.output)],
    }


def _blocks(found: Interference, pairs: Sequence[tuple[str, str]]) -> dict[str, list[float | None]]:
    """Return the cosine of each pair in each block, over the weights that both change."""
    blocks: dict[str, list[Meeting]] = {}
    for meeting in found.meetings:
        site = str(meeting.place.sites[0])
        blocks.setdefault(".".join(site.split(".")[:_LEVELS]), []).append(meeting)
    return {
        block: [_cosine([each for each in meetings if each.adapters == pair]) for pair in pairs]
        for block, meetings in sorted(blocks.items())
    }


def _cosine(meetings: Sequence[Meeting]) -> float | None:
    sizes = [math.hypot(*(each.norms[side] for each in meetings)) for side in (0, 1)]
    both = sizes[0] * sizes[1]
    along = math.fsum((each.cosine or 0.0) * each.norms[0] * each.norms[1] for each in meetings)
    return along / both if both else None
