"""Where the cache is, and the options of the commands that look after it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, final

from pydantic import BeforeValidator

from loraloom.errors import UsageError
from loraloom.options import AbstractOptions, option

VARIABLE: Final = "LORALOOM_CACHE_DIR"
"""The environment variable that names the cache folder where no option does."""

CACHE_DIR: Final = option(
    None,
    en="Folder of the cache; without it $LORALOOM_CACHE_DIR, else loraloom in the user's own cache "
    "folder.",
    ko="캐시 폴더. 지정하지 않으면 $LORALOOM_CACHE_DIR, 그것도 없으면 사용자 캐시 폴더의 loraloom.",
    hidden=True,
)

_UNITS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
        "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40,
    }
)  # fmt: skip


def cache_folder(chosen: Path | None, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the cache folder: as chosen, else as the environment says, else the system's place."""
    if chosen is not None:
        return chosen.expanduser()
    if named := environment.get(VARIABLE):
        return Path(named).expanduser()
    if sys.platform == "win32" and (local := environment.get("LOCALAPPDATA")):
        return Path(local, "loraloom", "cache")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "loraloom"
    place = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return place / "loraloom"


def _bytes(value: Any) -> Any:
    """Read "2GB", "500 MiB" or 1000 as a number of bytes."""
    if not isinstance(value, str):
        return value
    number = value.strip().rstrip("BGIKMTbgikmt").strip()
    unit = value.strip()[len(number) :].strip().upper()
    try:
        return int(float(number) * _UNITS[unit])
    except (ValueError, KeyError, OverflowError) as error:
        raise UsageError("cache.size", value=value) from error


@final
class CacheListOptions(AbstractOptions):
    """The options of `cache list`."""

    cache_dir: Path | None = CACHE_DIR


@final
class CachePruneOptions(AbstractOptions):
    """The options of `cache prune`."""

    unused_days: float | None = option(
        None,
        en="Remove what no run has used for more than this many days.",
        ko="이 일수보다 오래 쓰이지 않은 것을 지웁니다.",
        aliases=("older_than",),
        unit="days",
        ge=0,
    )
    max_size: Annotated[int | None, BeforeValidator(_bytes)] = option(
        None,
        en='Then remove the longest unused until the rest is no larger, such as "2GB".',
        ko='그런 다음 나머지가 이 크기 이하가 될 때까지 오래 안 쓴 것부터 지웁니다. 예: "2GB".',
        unit="bytes",
        ge=0,
    )
    all: bool = option(False, en="Remove everything.", ko="모두 지웁니다.")
    dry_run: bool = option(
        False,
        en="Tell what would be removed, and remove nothing.",
        ko="지울 것을 보여 주기만 하고 지우지 않습니다.",
    )
    cache_dir: Path | None = CACHE_DIR
