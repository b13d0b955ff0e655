"""Which rows of a batch are whose."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from loraloom.adapters.attachment import Attachment


def divide_rows(attachment: Attachment, names: Sequence[str], sizes: Sequence[int]) -> None:
    """Let each adapter be worn by its own rows of the batch, one after the other, and no other."""
    if len(names) == 1:
        attachment.set_strengths({names[0]: 1.0})
        return
    owner = torch.repeat_interleave(torch.tensor(list(sizes)))
    worn: dict[str, Float[Tensor, " batch"]] = {
        name: (owner == index).float() for index, name in enumerate(names)
    }
    attachment.set_strengths(worn)
