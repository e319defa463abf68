"""What a run does, checked field by field, and which runs are published."""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from circuitlib.ablation.engine import AblationKind
from circuitlib.search.episodes import BATCH
from circuitlib.search.ppo import PPOConfig
from circuitlib.subjects.beginning import DEFAULT
from circuitlib.subjects.card import Convention
from circuitlib.subjects.checkpoints import EMBEDDED, SMOLLM2, Text, canonical_name, default_text
from circuitlib.tasks import TASKS
from circuitlib.tasks.control_text import Part

CANDIDATES = (1, 5)
"""The k of the two policies: plain, and trained with best-of-5 planning."""

HEADLINE_K = 5
"""The k of the policy of the paper's headline."""

ROUNDING = {SMOLLM2: 5e-3}
"""Largest difference of a damage or a clean score (logits, probability or nats) that rounding explains, where it is not 1e-4.
SmolLM2 has activations of 20,000 beside others of 1, and a damage in single precision was seen to differ by 1.7e-3 from the one in double, and by 1.6e-3 between instruction sets (country, of damages up to twenty)."""


@dataclass(frozen=True)
class Settings:
    """What a run does. The defaults are the published run of the embedded subject.

    subject: see :func:`circuitlib.subjects.load.load_subject`; kept as its one name, a local directory as its
    absolute path. bos: what its prompts begin with, see :meth:`circuitlib.subjects.load.Subject.with_bos`.
    convention, ablation: what is removed with a head, and what takes its place.
    training_tasks, held_out_task, further_tasks: what policies are trained on, and what they are tried on
    without being told. A task that the subject cannot do is left out, with a reason, by the run.
    penalty: lambda of the reward. train_prompts, evaluation_prompts: rows of each task's table; the control
    table, whose damages vary a hundred times less on the paper's tasks, has half as many.
    seeds: of each policy; a default run of a published one trains the first ``KEPT``. steps: of PPO. episodes: evaluation episodes per task. control: a control text, or ``default``,
    the subject's own (:func:`circuitlib.subjects.checkpoints.default_text`). check_tasks: leave out tasks that
    the subject does not do; without it only those whose prompts cannot be formed.

    Raises ``TypeError`` and ``ValueError``, naming the field.
    """

    subject: str = EMBEDDED
    bos: str = DEFAULT
    convention: Convention = "folded"
    ablation: AblationKind = "zero"
    training_tasks: tuple[str, ...] = ("induction", "ioi")
    held_out_task: str = "docstring"
    further_tasks: tuple[str, ...] = ("greater_than", "pronoun", "agreement")
    penalty: float = 1.0
    train_prompts: int = 96
    evaluation_prompts: int = 160
    seeds: int = 20
    steps: int = 200_000
    episodes: int = 30
    control: Text | Literal["default"] = "default"
    check_tasks: bool = True

    def __post_init__(self) -> None:
        for setting in fields(self):
            kind: Any = type(setting.default)
            value = getattr(self, setting.name)
            if (kind, type(value)) in ((tuple, list), (float, int)):
                value = kind(value)
            if type(value) is not kind:
                raise TypeError(f"{setting.name} must be {kind.__name__}, not {type(value).__name__} {value!r}")
            object.__setattr__(self, setting.name, value)
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, not {getattr(self, name)!r}")
        if unknown := [task for task in self.tasks if task not in TASKS]:
            raise ValueError(f"unknown tasks {', '.join(unknown)}; there are {', '.join(TASKS)}")
        if len(set(self.tasks)) != len(self.tasks) or not self.training_tasks:
            raise ValueError(f"tasks must be different, one at least to train on: {self.tasks}")
        for name, value in _LEAST.items():
            if not getattr(self, name) >= value:
                raise ValueError(f"{name} must be at least {value}, not {getattr(self, name)}")
        for name, value in _MOST.items():
            if not getattr(self, name) <= value:
                raise ValueError(f"{name} must be at most {value}, not {getattr(self, name)}")
        object.__setattr__(self, "subject", canonical_name(self.subject))
        if self.control == default_text(self.subject):
            object.__setattr__(self, "control", "default")

    @classmethod
    def of(cls, changes: dict[str, Any]) -> "Settings":
        """The defaults with some fields changed; raises ``ValueError`` for a name that is no field."""
        names = [setting.name for setting in fields(cls)]
        if unknown := sorted(changes.keys() - set(names)):
            raise ValueError(f"no setting {', '.join(unknown)}; there are {', '.join(names)}")
        return cls(**changes)

    @property
    def tasks(self) -> tuple[str, ...]:
        """All of them: training tasks, the held-out one, further ones."""
        return (*self.training_tasks, self.held_out_task, *self.further_tasks)

    @property
    def text(self) -> Text:
        """The control text that these settings amount to."""
        return default_text(self.subject) if self.control == "default" else self.control

    @property
    def rounding(self) -> float:
        """Largest difference of two measurements of the same table that rounding explains."""
        return ROUNDING.get(self.subject, 1e-4)

    def rows(self, control: bool, part: Part) -> int:
        """Rows of a table, of a task or of the control text; never fewer than an episode takes."""
        count = self.train_prompts if part == "train" else self.evaluation_prompts
        return max(BATCH, count // 2) if control else count


_CHOICES = {
    "convention": get_args(Convention),
    "ablation": get_args(AblationKind),
    "control": ("default", *get_args(Text)),
}
_LEAST = {
    "penalty": 0.0,
    "train_prompts": BATCH,
    "evaluation_prompts": BATCH,
    "seeds": 1,
    "steps": PPOConfig.num_envs * PPOConfig.num_steps,
    "episodes": 2,
}
_MOST = {
    "penalty": 1e6,
    "train_prompts": 100_000,
    "evaluation_prompts": 100_000,
    "seeds": 1000,
    "steps": 10**9,
    "episodes": 10_000,
}
"""Beyond these a number is taken for a slip of the hand: days of work, or more memory than there is."""

PUBLISHED: dict[str, Settings] = {name: Settings(subject=name) for name in (EMBEDDED, SMOLLM2)}
"""The runs whose results are committed, one per subject."""

KEPT = 4
"""Seeds of each policy whose weights are committed, and that a default run trains; of the others what they found is."""


def published(settings: Settings) -> Settings | None:
    """The published settings that these are, or are but for training ``KEPT`` seeds; None for others."""
    for those in PUBLISHED.values():
        if settings in (those, replace(those, seeds=KEPT)):
            return those
    return None
