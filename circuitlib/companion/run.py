"""A run: its settings, and its results, read where they are stored or measured where they are not.

Notebooks ask a run for tables, policies and frames. The committed results of the default run are used
when their provenance is what the settings and the code call for; a run with ``recompute`` measures
everything itself and writes elsewhere, never over the committed files.
"""

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from circuitlib.ablation.build import build_table
from circuitlib.ablation.build import provenance as table_provenance
from circuitlib.ablation.tables import DamageTable, load_table, save_table
from circuitlib.companion.settings import CANDIDATES, TRAINING_TASKS, Settings
from circuitlib.manifest import (
    StaleResult,
    code_hash,
    differences,
    file_hash,
    load_frame,
    versions,
    written_whole,
)
from circuitlib.paths import CACHE, FIGURES, NOTEBOOKS, RESULTS, ROOT, require_checkout
from circuitlib.search.episodes import TableRewards
from circuitlib.search.policy import load_policy, rounded, save_policy
from circuitlib.search.ppo import PPOConfig
from circuitlib.search.ppo_seeds import ActorCritic, Trainer
from circuitlib.subjects.load import Subject, load_subject
from circuitlib.tasks.control_text import CONTROL, Part


@dataclass(frozen=True)
class Run:
    """Settings, and where results are read and written.

    output: folder of results and figures; empty for the committed ones (``data/results``,
    ``figures``). Different subjects have folders of their own in one ``output``.
    recompute: measure everything, into ``output``, instead of reading.

    Raises ``ValueError`` when a recomputation, or other settings than the default, would write over
    the committed results, and ``FileNotFoundError`` outside the checkout.
    """

    settings: Settings = field(default_factory=Settings)
    recompute: bool = False
    output: str = ""

    def __post_init__(self) -> None:
        for name, kind in (("recompute", bool), ("output", str)):
            if type(getattr(self, name)) is not kind:
                raise TypeError(f"{name} must be {kind.__name__}, not {getattr(self, name)!r}")
        require_checkout("a run's folder of results")
        if not self.output and (self.recompute or self.settings != Settings()):
            raise ValueError(
                "only the default run, read and not recomputed, uses the committed results; give an "
                "output folder for any other"
            )

    @property
    def _subject_folder(self) -> str:
        """The name of this subject's folders. Two directories may end in the same name, and two names on
        the hub too."""
        name = self.settings.subject
        if Path(name).is_absolute():
            return f"{Path(name).name}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        return name.replace("/", "--")

    def _place(self, kind: str) -> Path:
        return ROOT / self.output / kind / self._subject_folder

    @property
    def folder(self) -> Path:
        """Where results are."""
        return self._place("results") if self.output else RESULTS / self._subject_folder

    @property
    def figures(self) -> Path:
        """Where figures are."""
        return self._place("figures") if self.output else FIGURES

    @property
    def notebooks(self) -> Path:
        """Where executed notebooks are."""
        return self._place("notebooks") if self.output else NOTEBOOKS

    @cached_property
    def subject(self) -> Subject:
        """The subject, loaded once."""
        return load_subject(self.settings.subject, self.settings.convention)

    def _reads(self, path: Path) -> bool:
        """Whether to read a result. Inside a recomputing run a result is measured once and then read
        by the notebooks that follow; such a run starts in an empty folder."""
        if not path.exists() and not self.output:
            raise FileNotFoundError(
                f"{path.name} is not among the committed results; run `make reproduce`"
            )
        return path.exists()

    def table(self, task: str, part: Part) -> DamageTable:
        """The damage table of a task, or of ``control``."""
        path = self.folder / f"damage_{task}_{part}.safetensors"
        count = self.settings.rows(task, part)
        text = self.settings.text
        if self._reads(path):
            return load_table(path, table_provenance(self.subject, task, count, part, text))
        table = build_table(self.subject, task, count, part, CACHE, text)
        save_table(table, path)
        return table

    def training_rewards(self) -> TableRewards:
        """The reward source that policies are trained on: both training tasks."""
        tables = [self.table(task, "train") for task in TRAINING_TASKS]
        return TableRewards(tables, self.table(CONTROL, "train"))

    def ppo_config(self, candidates: int) -> PPOConfig:
        """The paper's settings, with this run's number of steps."""
        return PPOConfig(total_steps=self.settings.steps, candidates=candidates)

    def _policy_provenance(self, candidates: int) -> dict[str, Any]:
        tables = [self.folder / f"damage_{t}_train.safetensors" for t in (*TRAINING_TASKS, CONTROL)]
        return {
            "config": asdict(self.ppo_config(candidates)),
            "seeds": list(range(self.settings.seeds)),
            "tables": {path.name: file_hash(path) for path in tables},
            "code": code_hash(("env", "ppo", "products", "rewards")),
            "versions": versions(),
        }

    def policies(self) -> dict[int, ActorCritic]:
        """Trained policies of all seeds, by the k they were trained with. Trains those that are
        missing, one process a k, with checkpoints in the cache."""
        source = self.training_rewards()
        missing = [k for k in CANDIDATES if not self._reads(self._policy_path(k))]
        wanted = {k: self._policy_provenance(k) for k in CANDIDATES}
        jobs = [
            (source, self.ppo_config(k), wanted[k], self._policy_path(k), self._history_path(k))
            for k in missing
        ]
        if jobs:
            with ProcessPoolExecutor(len(jobs), mp_context=get_context("spawn")) as pool:
                list(pool.map(_train_policy, *zip(*jobs, strict=True)))
        policies = {}
        for k in CANDIDATES:
            policies[k], stored = load_policy(self._policy_path(k))
            if differs := differences(stored, wanted[k]):
                raise StaleResult(
                    f"{self._policy_path(k).name} is of another run: {'; '.join(differs)}"
                )
        return policies

    def training_history(self) -> pd.DataFrame:
        """What the policies found while training: trained_k, seed, update, task, best."""
        self.policies()
        frames = [pd.read_csv(self._history_path(k)).assign(trained_k=k) for k in CANDIDATES]
        return pd.concat(frames, ignore_index=True)

    def _policy_path(self, candidates: int) -> Path:
        return self.folder / f"policy_k{candidates}.safetensors"

    def _history_path(self, candidates: int) -> Path:
        return self.folder / f"training_k{candidates}.csv"

    def frame(
        self, name: str, compute: Callable[[], pd.DataFrame], code: tuple[str, ...], **inputs: Any
    ) -> pd.DataFrame:
        """A tidy table: ``name.csv`` with its manifest ``name.json``, computed if it is not there.

        code: modules that determine it. inputs: whatever else does (settings, hashes of other results).
        """
        path = self.folder / f"{name}.csv"
        wanted = {
            "subject": self.subject.name,
            "weights": self.subject.card.weights,
            "convention": self.settings.convention,
            "text": self.settings.text,
            "inputs": inputs,
            "code": code_hash(code),
            "versions": versions(),
        }
        if self._reads(path):
            return load_frame(path, wanted)
        with written_whole(path) as temporary:
            compute().to_csv(temporary, index=False, float_format="%.6g")
        manifest = {"content": file_hash(path), "provenance": wanted}
        with written_whole(path.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
        return load_frame(path, wanted)

    def hashes(self, *names: str) -> dict[str, str]:
        """Content hashes of stored results, to be the inputs of others."""
        return {name: file_hash(self.folder / name) for name in names}


def _train_policy(
    source: TableRewards, config: PPOConfig, wanted: dict[str, Any], path: Path, history: Path
) -> None:
    torch.set_num_threads(1)
    key = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:16]
    checkpoint = CACHE / "ppo" / f"{key}.pt"
    trainer = Trainer(source, config, wanted["seeds"])
    network = trainer.train(checkpoint)
    with written_whole(history) as temporary:
        pd.DataFrame(trainer.history).to_csv(temporary, index=False, float_format="%.6g")
    save_policy(rounded(network), path, wanted)
    checkpoint.unlink()
