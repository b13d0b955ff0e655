"""Repositories of the hub: their files on this machine, and whether they can be had."""

# huggingface_hub is only partly typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loraloom.errors import ModelError

_FILES: Final = ("*.json", "*.txt", "*/diffusion_pytorch_model.safetensors", "*/model.safetensors")


def cached(name: str, files: Sequence[str] = _FILES) -> Path | None:
    """Return the repository's folder on this machine, None where it is not; nothing is asked.

    `files` are patterns of what is used of it; a diffusers model's are the default.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(files), local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    except HFValidationError as error:
        raise ModelError("model.unknown", name=name) from error


def ask(name: str) -> None:
    """Ask the hub whether it has a diffusers model of this name; nothing is fetched or kept."""
    if "model_index.json" not in listed(name):
        raise ModelError("model.no_index", path=name)


def listed(name: str) -> tuple[str, ...]:
    """Return the names of a repository's files, as the hub lists them; nothing is fetched."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        siblings = HfApi().model_info(name).siblings or ()
    except HfHubHTTPError as error:
        raise ModelError("model.hub", name=name, reason=error) from error
    except _network_errors() as error:
        raise ModelError("model.offline", name=name) from error
    return tuple(file.rfilename for file in siblings)


def download(name: str, files: Sequence[str] = _FILES) -> Path:
    """Return the repository's folder on this machine, fetching what is not there yet."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(files)))
    except HFValidationError as error:
        raise ModelError("model.unknown", name=name) from error
    except LocalEntryNotFoundError as error:
        raise ModelError("model.offline", name=name) from error
    except _network_errors() as error:
        raise ModelError("model.hub", name=name, reason=error) from error


def _network_errors() -> tuple[type[Exception], ...]:
    """Return what the client raises where nothing answers: system's and HTTP library's errors.

    Which HTTP library that is has changed and may again; the client's own error descends from it.
    """
    from huggingface_hub.errors import HfHubHTTPError

    kinds = HfHubHTTPError.__mro__
    return tuple(kind for kind in kinds if issubclass(kind, Exception) and kind is not Exception)
