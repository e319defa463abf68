"""What estimates of all heads there are (:class:`circuitlib.ablation.attribution.Attribution` makes them), and what each costs. Light: who
buys them loads no model library.
"""

from typing import Literal

Through = Literal["everything", "frozen", "residual"]
"""What the backward pass goes through: ``everything``; all but norms' scales and attention patterns (``frozen``); the residual
stream alone (``residual``, the direct effect)."""

PRICES: dict[Through, int] = {"everything": 3, "frozen": 3, "residual": 1}
"""What an estimate of all heads costs, in heads measured on as many prompts and spans."""
