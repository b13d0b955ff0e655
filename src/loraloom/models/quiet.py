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


@contextmanager
def quietly() -> Generator[None]:
    """Keep transformers' bars and its remarks away, but for errors, inside the block."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with without_progress_bars():
            yield
    finally:
        logging.set_verbosity(level)
