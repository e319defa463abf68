"""What a run does."""

from dataclasses import dataclass, fields
from typing import Literal, get_args

from circuitlib.search.episodes import BATCH
from circuitlib.search.ppo import PPOConfig
from circuitlib.subjects.checkpoints import EMBEDDED, canonical_name
from circuitlib.subjects.load import Convention
from circuitlib.tasks.control_text import CONTROL, Part, Text, default_text

TRAINING_TASKS = ("induction", "ioi")


HELD_OUT_TASK = "docstring"


CANDIDATES = (1, 5)
"""The k of the two policies: plain, and trained with best-of-5 planning."""


@dataclass(frozen=True)
class Settings:
    """What a run does. The defaults are the committed run; every field is checked at once.

    subject: see :func:`circuitlib.subjects.load.load_subject`; kept as its one name, a local directory as its
    absolute path. train_prompts, evaluation_prompts: rows of each task's table; the control
    table, whose damages vary a hundred times less, has half as many.
    seeds, steps: of PPO. episodes: evaluation episodes a task. control: a control text, or ``default``,
    the subject's own (:func:`circuitlib.tasks.control_text.default_text`); that text by its name is ``default`` too,
    so that equal settings are equal.

    Raises ``TypeError`` and ``ValueError``, naming the field.
    """

    subject: str = EMBEDDED
    convention: Convention = "folded"
    train_prompts: int = 96
    evaluation_prompts: int = 160
    seeds: int = 5
    steps: int = 200_000
    episodes: int = 30
    control: Text | Literal["default"] = "default"

    def __post_init__(self) -> None:
        for setting in fields(self):
            value, kind = getattr(self, setting.name), type(setting.default)
            if type(value) is not kind:
                raise TypeError(
                    f"{setting.name} must be {kind.__name__}, not {type(value).__name__} {value!r}"
                )
        choices = {"convention": get_args(Convention), "control": ("default", *get_args(Text))}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, not {getattr(self, name)!r}")
        least = {
            "train_prompts": BATCH, "evaluation_prompts": BATCH, "seeds": 1,
            "steps": PPOConfig.environments * PPOConfig.rollout, "episodes": 2,
        }  # fmt: skip
        for name, value in least.items():
            if getattr(self, name) < value:
                raise ValueError(f"{name} must be at least {value}, not {getattr(self, name)}")
        object.__setattr__(self, "subject", canonical_name(self.subject))
        if self.control == default_text(self.subject):
            object.__setattr__(self, "control", "default")

    @property
    def text(self) -> Text:
        """The control text that these settings amount to."""
        return default_text(self.subject) if self.control == "default" else self.control

    def rows(self, task: str, part: Part) -> int:
        """Rows of a table of a task, or of ``control``; never fewer than an episode takes."""
        count = self.train_prompts if part == "train" else self.evaluation_prompts
        return max(BATCH, count // 2) if task == CONTROL else count
