"""Judging adapters: figures as pure functions of what was seen, and the page that shows them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loraloom.evaluation.agreement import Share as Share
    from loraloom.evaluation.agreement import all_right as all_right
    from loraloom.evaluation.agreement import answer_share as answer_share
    from loraloom.evaluation.agreement import rises_steadily as rises_steadily
    from loraloom.evaluation.agreement import shares_by_question as shares_by_question
    from loraloom.evaluation.agreement import wilson_interval as wilson_interval
    from loraloom.evaluation.page import render_page as render_page
    from loraloom.evaluation.report import DemoReport as DemoReport
    from loraloom.evaluation.savings import Savings as Savings
    from loraloom.evaluation.savings import SiteSaving as SiteSaving
    from loraloom.evaluation.savings import adapter_savings as adapter_savings
    from loraloom.evaluation.savings import weight_shapes as weight_shapes

# No name here may be that of a submodule: importing the module would put it in the name's place.
_HOMES = {
    "DemoReport": "report",
    "Savings": "savings",
    "Share": "agreement",
    "SiteSaving": "savings",
    "adapter_savings": "savings",
    "all_right": "agreement",
    "answer_share": "agreement",
    "render_page": "page",
    "rises_steadily": "agreement",
    "shares_by_question": "agreement",
    "weight_shapes": "savings",
    "wilson_interval": "agreement",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
