"""Keeps the loading libraries from writing to the terminal."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from transformers.utils import logging


@contextmanager
def without_progress_bars() -> Generator[None]:
    """Switch transformers' progress bars off inside the block, and on again if they were on."""
    were_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if were_on:
            logging.enable_progress_bar()
