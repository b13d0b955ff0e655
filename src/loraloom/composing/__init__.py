"""Adapters out of adapters: merged, resized, extracted, compared, and fused into a base."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loraloom.composing.base_weights import BaseWeights as BaseWeights
    from loraloom.composing.card import merged_card as merged_card
    from loraloom.composing.card import merged_embeddings as merged_embeddings
    from loraloom.composing.checkpoint import Checkpoint as Checkpoint
    from loraloom.composing.checkpoint import Stored as Stored
    from loraloom.composing.checkpoint import in_file as in_file
    from loraloom.composing.checkpoint import in_memory as in_memory
    from loraloom.composing.checkpoint_file import CheckpointFile as CheckpointFile
    from loraloom.composing.comparison import Difference as Difference
    from loraloom.composing.comparison import compare as compare
    from loraloom.composing.comparison import compare_places as compare_places
    from loraloom.composing.extraction import extract as extract
    from loraloom.composing.extraction import extract_sites as extract_sites
    from loraloom.composing.fit import Composition as Composition
    from loraloom.composing.fit import Fit as Fit
    from loraloom.composing.fit import Made as Made
    from loraloom.composing.fusion import fuse as fuse
    from loraloom.composing.fusion import fused_metadata as fused_metadata
    from loraloom.composing.inspection import Finding as Finding
    from loraloom.composing.inspection import Inspection as Inspection
    from loraloom.composing.inspection import inspect as inspect
    from loraloom.composing.merging import merge as merge
    from loraloom.composing.merging import merge_places as merge_places
    from loraloom.composing.merging import merged as merged
    from loraloom.composing.mode import MODES as MODES
    from loraloom.composing.mode import SPARSE as SPARSE
    from loraloom.composing.mode import MergeSettings as MergeSettings
    from loraloom.composing.overlap import Interference as Interference
    from loraloom.composing.overlap import Meeting as Meeting
    from loraloom.composing.overlap import Overlap as Overlap
    from loraloom.composing.overlap import Pair as Pair
    from loraloom.composing.overlap import interference as interference
    from loraloom.composing.resizing import approximate as approximate
    from loraloom.composing.resizing import approximate_places as approximate_places
    from loraloom.composing.resizing import resize as resize
    from loraloom.composing.resizing import resize_places as resize_places
    from loraloom.composing.resizing import resized as resized
    from loraloom.composing.triggers import TriggerClash as TriggerClash
    from loraloom.composing.triggers import trigger_clashes as trigger_clashes
    from loraloom.composing.truncation import RULES as RULES
    from loraloom.composing.truncation import Truncation as Truncation
    from loraloom.composing.weights import NORMALIZERS as NORMALIZERS
    from loraloom.composing.weights import Weight as Weight

_HOMES = {
    "BaseWeights": "base_weights",
    "Checkpoint": "checkpoint",
    "CheckpointFile": "checkpoint_file",
    "Composition": "fit",
    "Difference": "comparison",
    "Finding": "inspection",
    "Fit": "fit",
    "Inspection": "inspection",
    "Interference": "overlap",
    "MODES": "mode",
    "Made": "fit",
    "Meeting": "overlap",
    "MergeSettings": "mode",
    "NORMALIZERS": "weights",
    "Overlap": "overlap",
    "Pair": "overlap",
    "RULES": "truncation",
    "SPARSE": "mode",
    "Stored": "checkpoint",
    "TriggerClash": "triggers",
    "Truncation": "truncation",
    "Weight": "weights",
    "approximate": "resizing",
    "approximate_places": "resizing",
    "compare": "comparison",
    "compare_places": "comparison",
    "extract": "extraction",
    "extract_sites": "extraction",
    "fuse": "fusion",
    "fused_metadata": "fusion",
    "in_file": "checkpoint",
    "in_memory": "checkpoint",
    "inspect": "inspection",
    "interference": "overlap",
    "merge": "merging",
    "merge_places": "merging",
    "merged": "merging",
    "merged_card": "card",
    "merged_embeddings": "card",
    "resize": "resizing",
    "resize_places": "resizing",
    "resized": "resizing",
    "trigger_clashes": "triggers",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
