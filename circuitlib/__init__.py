"""Which attention heads does a behaviour need? Exact ablation of every head, and searchers for the best.

What is offered here is imported when it is first used, so that importing the package loads no model library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from circuitlib.ablation.engine import Ablation
    from circuitlib.ablation.head_damage import head_damage, plot_head_damage
    from circuitlib.search.env import HeadAblationEnv, HeadAblationVectorEnv
    from circuitlib.subjects.load import load_subject

_HOMES = {
    "Ablation": "ablation.engine",
    "HeadAblationEnv": "search.env",
    "HeadAblationVectorEnv": "search.env",
    "head_damage": "ablation.head_damage",
    "load_subject": "subjects.load",
    "plot_head_damage": "ablation.head_damage",
}

__all__ = ["Ablation", "HeadAblationEnv", "HeadAblationVectorEnv", "head_damage", "load_subject", "plot_head_damage"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
