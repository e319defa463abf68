"""The numbers of others, each with its source: ``data/reference/mechrl_v1.json``."""

import json
from functools import cache
from itertools import product
from typing import Any

from circuitlib.manifest import StaleResult, content_hash
from circuitlib.paths import REFERENCE, require_checkout
from circuitlib.search.episodes import NOTHING

PAPER = REFERENCE / "mechrl_v1.json"

PAPERS_NUMBERS = "669c25d942dfd8ff"
"""The content hash of the file that the paper's numbers were written down in."""

TRAINED_ON = ("induction", "ioi")
"""The paper's training tasks, in the order of its signal."""


@cache
def mechrl() -> dict[str, Any]:
    """The paper's published numbers (arXiv:2605.26343v1) and the head lists it compares with.

    Raises ``FileNotFoundError`` outside the checkout, and ``StaleResult`` when they are not those that were written down.
    """
    require_checkout("data/reference")
    if content_hash(PAPER) != PAPERS_NUMBERS:
        raise StaleResult(f"{PAPER} is corrupt: its bytes are not those whose hash is {PAPERS_NUMBERS}; restore it")
    return json.loads(PAPER.read_text())


def best_head_share(task: str) -> tuple[float, int]:
    """How often the most frequent best head of an episode was the best in the paper's episodes, and how many these were."""
    counts = mechrl()["heads_20_policy_10_oracle_episodes"][task]["policy_best_head_counts"]
    return max(counts.values()) / sum(counts.values()), sum(counts.values())


def docstring_results() -> dict[tuple[str, int, str], float]:
    """The paper's mean best rewards on docstring after 50 heads (logits): (searcher, trained k, told) -> reward."""
    transfer = mechrl()["transfer_docstring_30_episodes"]
    results = {("random", 0, NOTHING): transfer["random"]["mean_best"]}
    for k in (1, 5):
        for told, name in {NOTHING: "unknown", "induction": "told_induction", "ioi": "told_ioi"}.items():
            results["policy", k, told] = transfer[f"k{k}"][name]
    return results


def results() -> dict[tuple[str, str, int, str], float]:
    """The paper's mean best rewards after 50 heads (logits), on docstring and, told them, on the tasks trained on, where it has one number for both policies: (task, searcher, trained k, told) -> reward."""
    found = {("docstring", *condition): reward for condition, reward in docstring_results().items()}
    for task, k in product(TRAINED_ON, (5, 1)):
        found[task, "policy", k, task] = mechrl()["heads_20_policy_10_oracle_episodes"][task]["policy_mean_best"]
    return found


def oracles() -> dict[str, float]:
    """What the paper's oracle finds (logits), by task."""
    episodes = mechrl()["heads_20_policy_10_oracle_episodes"]
    return {"docstring": docstring_oracle()} | {task: episodes[task]["oracle_mean_best"] for task in TRAINED_ON}


def headline_as_printed() -> float:
    """The headline's fraction of the oracle as the paper's text has it, which is not the rounded quotient of its own numbers."""
    return float(mechrl()["transfer_docstring_30_episodes"]["headline_as_printed"])


def docstring_oracle() -> float:
    """What the paper's oracle finds on docstring (logits)."""
    return mechrl()["transfer_docstring_30_episodes"]["oracle_15_episodes"]["mean_best"]


def paper_fractions() -> dict[tuple[str, int, str], float]:
    """The paper's results after 50 picks as fractions of its own oracle: (task, trained k, signal) -> fraction, the headline
    first. A trained k of 0 is random search. Its oracle was measured on other episodes than its policy, so that a fraction may
    exceed 1; of their spread over episodes only the oracle's is published."""
    ordered = sorted(results().items(), key=lambda item: (item[0][0] != "docstring", item[0][0], -item[0][2]))
    return {(task, k, told): reward / oracles()[task] for (task, _, k, told), reward in ordered}
