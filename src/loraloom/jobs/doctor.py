"""What this machine and this installation can do: each finding with what to do about it."""

# torch's answers about devices are only partly typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from loraloom.errors import SetupError
from loraloom.jobs.memory import total_memory

State = Literal["ok", "note", "failed"]

_PYTHONS: Final = ((3, 11), (3, 13))
_NEEDED: Final = ("diffusers", "transformers", "safetensors", "pydantic", "rich", "PIL")
_DISTRIBUTIONS: Final = MappingProxyType({"PIL": "pillow"})
_ROOM: Final = 2 * 1024**3
_MEMORY: Final = 3 * 1024**3


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at: its value, and what to do about it, worded in the catalogue by `code`.

    `failed` means that something the program needs is not there; a `note` stops nothing.
    """

    name: str
    value: str
    state: State = "ok"
    code: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])


def examine(folder: Path) -> Iterator[Finding]:
    """Look at the interpreter, the libraries, the devices, the package and a working folder."""
    yield _python()
    yield Finding(name="system", value=f"{platform.system()} {platform.machine()}")
    torch = _imported("torch")
    if torch is None:
        yield _failed("torch", "–", "doctor.no_torch")
    else:
        yield _torch(torch)
        yield from _devices(torch)
    for module in _NEEDED:
        yield _library(module)
    yield _oracle()
    yield _playground()
    yield _memory()
    yield _disk(folder)
    yield _writing(folder)
    yield _encoding()


def _python() -> Finding:
    low, high = (".".join(map(str, pair)) for pair in _PYTHONS)
    good = _PYTHONS[0] <= sys.version_info[:2] <= _PYTHONS[1]
    return Finding(
        name="python",
        value=platform.python_version(),
        state="ok" if good else "failed",
        code=None if good else "doctor.python",
        details={"low": low, "high": high},
    )


def _imported(name: str) -> Any:
    """Import a library; None where it is missing or broken (OSError: a lost shared library)."""
    try:
        return import_module(name)
    except (ImportError, OSError):
        return None


def _torch(torch: Any) -> Finding:
    build = "CPU"
    if torch.version.cuda:
        build = f"CUDA {torch.version.cuda}"
    elif torch.version.hip:
        build = f"ROCm {torch.version.hip}"
    value = f"{torch.__version__} ({build})"
    usable = torch.cuda.is_available()
    if build == "CPU" and _has_gpu():
        return Finding(name="torch", value=value, state="note", code="doctor.torch_without_gpu")
    if build != "CPU" and _has_gpu() and not usable:
        return Finding(name="torch", value=value, state="note", code="doctor.gpu_unusable")
    return Finding(name="torch", value=value)


def _has_gpu() -> bool:
    """Tell whether the system has a GPU that torch could be built for, seen without torch."""
    devices = (Path("/dev/nvidia0"), Path("/dev/kfd"))
    return shutil.which("nvidia-smi") is not None or any(path.exists() for path in devices)


def _devices(torch: Any) -> Iterator[Finding]:
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            name = torch.cuda.get_device_name(number)
            free, total = torch.cuda.mem_get_info(number)
            value = f"cuda:{number} {name}, {_size(free)} / {_size(total)}"
            yield Finding(name="device", value=value)
        good = torch.cuda.is_bf16_supported(including_emulation=False)
        if good:
            yield Finding(name="bf16", value="✓")
        else:
            yield Finding(name="bf16", value="–", state="note", code="doctor.bf16")
    elif torch.backends.mps.is_available():
        yield Finding(name="device", value="mps")
    else:
        value = f"cpu ({os.cpu_count()})"
        yield Finding(name="device", value=value, state="note", code="doctor.cpu")


def _library(module: str) -> Finding:
    name = _DISTRIBUTIONS.get(module, module)
    try:
        return Finding(name=name, value=version(name))
    except PackageNotFoundError:
        return _failed(name, "–", "doctor.library", name=name)


def _oracle() -> Finding:
    """PEFT is only an oracle of the tests: its files are read and written without it."""
    try:
        return Finding(name="peft", value=version("peft"))
    except PackageNotFoundError:
        return Finding(name="peft", value="–")


def _playground() -> Finding:
    from loraloom.playground.packaged import base_folder

    try:
        return Finding(name="playground", value=str(base_folder()))
    except SetupError as error:
        return _failed("playground", "–", error.code, **error.details)


def _memory() -> Finding:
    total = total_memory()
    if total is None:
        return Finding(name="memory", value="?")
    if total < _MEMORY:
        return Finding(name="memory", value=_size(total), state="note", code="doctor.memory")
    return Finding(name="memory", value=_size(total))


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    if free < _ROOM:
        return Finding(name="disk", value=_size(free), state="note", code="doctor.disk")
    return Finding(name="disk", value=_size(free))


def _writing(folder: Path) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return Finding(name="writing", value=str(folder))
    except OSError as error:
        reason = error.strerror
        return _failed("writing", str(folder), "doctor.writing", folder=folder, reason=reason)


def _encoding() -> Finding:
    names = (sys.getfilesystemencoding(), sys.stdout.encoding)
    if all(name.lower().replace("-", "") == "utf8" for name in names):
        return Finding(name="encoding", value="UTF-8")
    return Finding(name="encoding", value=" / ".join(names), state="note", code="doctor.encoding")


def _failed(what: str, value: str, code: str, /, **details: Any) -> Finding:
    return Finding(name=what, value=value, state="failed", code=code, details=details)


def _size(count: int) -> str:
    return f"{count / 1024**3:.1f} GiB"
