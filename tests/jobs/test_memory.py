"""Too little memory, from any of its sources."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from loraloom.errors import MemoryRanOut
from loraloom.events import Event, PhaseStarted
from loraloom.jobs.memory import guarded


def failing(error: Exception) -> Iterator[Event]:
    yield PhaseStarted(phase="training")
    raise error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
@pytest.mark.parametrize(
    ("code", "lowered"),
    [
        ("memory.train", ("--resolution", "--train_batch_size 1", "--network_dim")),
        ("memory.drawing", ("--batch_size 1", "--width", "--height")),
    ],
)
def test_it_is_told_what_to_lower(error: Exception, code: str, lowered: tuple[str, ...]) -> None:
    seen: list[Event] = []
    with pytest.raises(MemoryRanOut) as caught:
        seen.extend(guarded(failing(error), code))
    assert caught.value.exit_code == 5
    for language in ("en", "ko"):
        assert all(flag in caught.value.message(language) for flag in lowered)


def test_torch_s_own_error_on_the_processor() -> None:
    def allocate() -> Iterator[Event]:
        yield PhaseStarted(phase="training")
        torch.empty(2**60, dtype=torch.uint8)

    with pytest.raises(MemoryRanOut):
        list(guarded(allocate(), "memory.train"))


def test_other_errors_pass_as_they_are() -> None:
    error = RuntimeError("shapes differ")
    with pytest.raises(RuntimeError) as caught:
        list(guarded(failing(error), "memory.train"))
    assert caught.value is error
