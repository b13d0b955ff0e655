"""Where the playground's weights lie in the package."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from loraloom.errors import SetupError

PLAYGROUND: Final = "playground"
"""The name of the base that comes with the package."""

_WEIGHTS = Path(__file__).parent / "weights"


def weights_folder() -> Path:
    """Return the folder that the build writes: base, judge, captioner, logs and model card."""
    return _WEIGHTS


def base_folder() -> Path:
    """Return the base as a diffusers folder; a package without it is a `SetupError`."""
    return _present(_WEIGHTS / "base")


def judge_file() -> Path:
    """Return the judge's weights; a package without them is a `SetupError`."""
    return _present(_WEIGHTS / "judge.safetensors")


def captioner_folder() -> Path:
    """Return the captioner as a transformers folder; a package without it is a `SetupError`."""
    return _present(_WEIGHTS / "captioner")


def _present(path: Path) -> Path:
    if not path.exists():
        raise SetupError("playground.missing", path=path)
    return path
