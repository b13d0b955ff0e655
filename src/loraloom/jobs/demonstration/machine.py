"""The machine the demonstration runs on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

from loraloom.evaluation.report import Machine


def this_machine(device: torch.device) -> Machine:
    """Return versions, processor and device."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return Machine(
        python=platform.python_version(),
        torch=torch.__version__,
        cpu=_processor(),
        cores=os.cpu_count() or 1,
        device=name,
    )


def _processor() -> str:
    """Return the processor's name where the system tells it, else its architecture."""
    facts = Path("/proc/cpuinfo")
    if facts.is_file():
        for line in facts.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
