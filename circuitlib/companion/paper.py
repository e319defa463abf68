"""The numbers of others, each with its source: ``data/reference/mechrl_v1.json``."""

import json
from functools import cache
from typing import Any

from circuitlib.paths import REFERENCE, require_checkout

PAPER = REFERENCE / "mechrl_v1.json"


@cache
def mechrl() -> dict[str, Any]:
    """The paper's published numbers (arXiv:2605.26343v1) and the head lists it compares with.

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
    transfer = mechrl()["transfer_docstring_30_episodes"]
    oracle = transfer["oracle_15_episodes"]["mean_best"]
    fractions = {("docstring", 0, "random"): transfer["random"]["mean_best"] / oracle}
    for k in (1, 5):
        for signal, told in {"none": "unknown", "induction": "told_induction", "ioi": "told_ioi"}.items():
            fractions["docstring", k, signal] = transfer[f"k{k}"][told] / oracle
        for task in ("induction", "ioi"):
            episodes = mechrl()["heads_20_policy_10_oracle_episodes"][task]
            fractions[task, k, task] = episodes["policy_mean_best"] / episodes["oracle_mean_best"]
    return fractions
