"""Tables of estimates: what :mod:`circuitlib.ablation.attribution` says of every head, on the prompts and spans of a damage table."""

from typing import Any

from circuitlib.ablation.attribution import Attribution, Through
from circuitlib.ablation.build import Measurement, Recipe, ablation_of
from circuitlib.ablation.engine import Scores
from circuitlib.ablation.tables import DamageTable
from circuitlib.manifest import code_hash
from circuitlib.subjects.card import Card
from circuitlib.subjects.load import Subject

PRICES: dict[Through, int] = {"everything": 3, "frozen": 3, "residual": 1}
"""What an estimate of all heads costs, in heads measured: a backward pass is two forward passes."""


def provenance(recipe: Recipe, through: Through, card: Card) -> dict[str, Any]:
    """Everything that determines a table of estimates."""
    return recipe.provenance(card) | {"through": through, "code": code_hash(__name__)}


def estimate_table(subject: Subject, recipe: Recipe, through: Through) -> DamageTable:
    """A recipe's table with estimated damages in the place of measured ones. Raises as :class:`Attribution` does."""
    ablation = ablation_of(recipe.ablation, subject.tokenizer, recipe.text)
    measurement = Measurement(subject, recipe, Attribution(subject, ablation, through))
    scores = Scores.of_all([measurement.rows(rows) for rows in measurement.blocks()])
    return DamageTable(scores.clean, scores.damage, provenance(recipe, through, subject.card))
