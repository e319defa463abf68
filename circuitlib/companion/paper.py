"""The numbers of others, each with its source: ``data/reference/mechrl_v1.json``."""

import json
from functools import cache
from typing import Any

from circuitlib.paths import REFERENCE, require_checkout

PAPER = REFERENCE / "mechrl_v1.json"


@cache
def mechrl() -> dict[str, Any]:
    """The paper's published numbers (arXiv 2605.26343v1) and the head lists it compares with.

    Raises ``FileNotFoundError`` outside the checkout.
    """
    require_checkout("data/reference")
    return json.loads(PAPER.read_text())


def best_head_share(task: str) -> float:
    """How often the most frequent best head of an episode was the best, in the paper's episodes."""
    counts = mechrl()["heads_20_policy_10_oracle_episodes"][task]["policy_best_head_counts"]
    return max(counts.values()) / sum(counts.values())


def paper_fractions() -> dict[tuple[str, int, str], float]:
    """The paper's results as fractions of its own oracle: (task, trained k, signal) -> fraction. Signal
    ``random`` is random search. Its oracle was measured on other episodes than its policy."""
    numbers = mechrl()
    transfer = numbers["transfer_docstring_30_episodes"]
    oracle = transfer["oracle_15_episodes"]["mean_best"]
    names = {"unknown": "none", "told_induction": "induction", "told_ioi": "ioi"}
    fractions = {
        ("docstring", k, names[told]): value / oracle
        for k, row in ((1, transfer["k1"]), (5, transfer["k5"]))
        for told, value in row.items()
        if told in names
    }
    fractions["docstring", 0, "random"] = transfer["random"]["mean_best"] / oracle
    episodes = numbers["heads_20_policy_10_oracle_episodes"]
    for task in ("induction", "ioi"):
        for k in (1, 5):
            ratio = episodes[task]["policy_mean_best"] / episodes[task]["oracle_mean_best"]
            fractions[task, k, task] = ratio
    return fractions
