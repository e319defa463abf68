"""The numbers of others, each with its source: ``data/reference/mechrl_v1.json``."""

import json
from functools import cache
from typing import Any

from circuitlib.paths import REFERENCE, require_checkout


@cache
def mechrl() -> dict[str, Any]:
    """The paper's published numbers (arXiv 2605.26343v1) and the head lists it compares with.

    Raises ``FileNotFoundError`` outside the checkout.
    """
    require_checkout("data/reference")
    return json.loads((REFERENCE / "mechrl_v1.json").read_text())


def best_head_share(task: str) -> float:
    """How often the most frequent best head of an episode was the best, in the paper's episodes."""
    counts = mechrl()["heads_20_policy_10_oracle_episodes"][task]["policy_best_head_counts"]
    return max(counts.values()) / sum(counts.values())
