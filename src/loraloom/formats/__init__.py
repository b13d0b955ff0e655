"""Adapter files: to an `Adapter` and back, and what a header tells. No model is loaded here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loraloom.formats.codec import AbstractCodec as AbstractCodec
    from loraloom.formats.coding import Encoded as Encoded
    from loraloom.formats.coding import decode as decode
    from loraloom.formats.coding import encode as encode
    from loraloom.formats.conversion import convert as convert
    from loraloom.formats.files import read_adapter as read_adapter
    from loraloom.formats.files import write_adapter as write_adapter
    from loraloom.formats.header_editing import read_metadata as read_metadata
    from loraloom.formats.header_editing import told_hash_is_right as told_hash_is_right
    from loraloom.formats.header_editing import write_metadata as write_metadata
    from loraloom.formats.metadata import Level as Level
    from loraloom.formats.split_qkv import with_trained_scale as with_trained_scale
    from loraloom.formats.summary import AdapterSummary as AdapterSummary
    from loraloom.formats.summary import describe as describe
    from loraloom.formats.table import CODECS as CODECS
    from loraloom.formats.table import FORMATS as FORMATS
    from loraloom.formats.table import detect as detect

_HOMES = {
    "AbstractCodec": "codec",
    "AdapterSummary": "summary",
    "CODECS": "table",
    "Encoded": "coding",
    "FORMATS": "table",
    "Level": "metadata",
    "convert": "conversion",
    "decode": "coding",
    "describe": "summary",
    "detect": "table",
    "encode": "coding",
    "read_adapter": "files",
    "read_metadata": "header_editing",
    "told_hash_is_right": "header_editing",
    "with_trained_scale": "split_qkv",
    "write_adapter": "files",
    "write_metadata": "header_editing",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
