"""A run: its settings, and its results, read where they are stored or measured where they are not.

Notebooks ask a run for tables, policies and frames. Without an output folder a run is a published one: it
reads the committed results, and loads no model to do so. With one, whatever is not there is measured,
written there, and read from then on; of committed files only the manifests of tables and policies are ever written anew, when the
code has changed and what is measured again of them has not.
"""

import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import torch

from circuitlib.ablation.build import ROWS_AGAIN, Recipe, build_table, code_of, differs_again
from circuitlib.ablation.check_task import why_left_out
from circuitlib.ablation.estimates import PRICES, Through
from circuitlib.ablation.tables import CONTROL, DamageTable, load_table, save_table
from circuitlib.companion.aside import ASIDE, is_whole, remove_left_behind, set_aside
from circuitlib.companion.legend import subject_title
from circuitlib.companion.locks import in_turn
from circuitlib.companion.parameters import executed_cells, refuse_unknown_parameters
from circuitlib.companion.settings import CANDIDATES, KEPT, PUBLISHED, Settings, published
from circuitlib.companion.training import Training, train_policies
from circuitlib.manifest import (
    StaleResult,
    as_json,
    content_hash,
    differences,
    is_stored,
    load_frame,
    made_on,
    read_provenance,
    restamp,
    save_frame,
    short_hash,
    written_whole,
)
from circuitlib.paths import FIGURES, NOTEBOOKS, RESULTS, ROOT, require_checkout
from circuitlib.search.belief import ESTIMATES
from circuitlib.search.env import budget_for
from circuitlib.search.episodes import BATCH, TableEpisodes
from circuitlib.search.network import ActorCritic
from circuitlib.search.policy import load_policy
from circuitlib.search.ppo import PPOConfig
from circuitlib.search.ppo_seeds import Trainer
from circuitlib.search.trials import PricedTables
from circuitlib.subjects.beginning import DEFAULT
from circuitlib.subjects.card import Card, Convention, fingerprint
from circuitlib.subjects.checkpoints import local_checkpoint
from circuitlib.subjects.load import Subject, load_subject
from circuitlib.tasks import TASKS
from circuitlib.tasks.behaviours import BEHAVIOURS
from circuitlib.tasks.behaviours.confirmation import CONFIRMATION
from circuitlib.tasks.control_text import Part

SHORT = BEHAVIOURS | CONFIRMATION
"""Behaviours, of which a table has an episode's prompts."""

LONG = ("evaluation", "rivals")
"""Frames with so many rows that they are stored as parquet, a fifth of the size of CSV."""

CARD = "subject.json"
"""What results are of, beside them."""

OTHERS = "_others"
"""Ends the names of files with the weights of the seeds that are not kept."""

UPDATES_AGAIN = 5
"""Updates that policies of other code are trained again for."""

Read = TypeVar("Read")

Progress = Callable[[int], object]
"""Told how many more units (rows of a table, updates of PPO) are done."""


@dataclass(frozen=True)
class Run:
    """Settings, and where results are read and written.

    output: folder of results, figures and notebooks; empty for the published ones (``data/results``,
    ``figures``). Different subjects have folders of their own in one ``output``. device: where the subject measures what is missing,
    ``cpu`` or ``cuda``; no part of what results are of, since they are equal to rounding, but recorded beside them.

    Raises ``ValueError`` when settings without an output are no published run's, and ``FileNotFoundError``
    outside the checkout.
    """

    settings: Settings = field(default_factory=Settings)
    output: str = ""
    device: str = "cpu"

    def __post_init__(self) -> None:
        if type(self.output) is not str:
            raise TypeError(f"output must be str, not {self.output!r}")
        require_checkout("a run's folder of results")
        if not self.output and self.settings not in PUBLISHED.values():
            raise ValueError("only the published runs have committed results; give an output folder for any other")

    @classmethod
    def of(cls, settings: dict[str, Any], output: str = "") -> "Run":
        """What a notebook's parameters name: changes to the default settings, and a folder. Without a folder, settings that no published run
        has get one of their own, named for what is changed, and it is said where.

        Raises ``TypeError`` and ``ValueError``, in a notebook also for a parameter that it does not have.
        """
        refuse_unknown_parameters(executed_cells())
        if not isinstance(settings, dict):
            raise TypeError(
                f"settings must be a dict such as {{'seeds': 2}}, not {type(settings).__name__} {settings!r}"
            )
        chosen = Settings.of(settings)
        if output == "" and chosen not in PUBLISHED.values():
            output = f"runs/{_named_for(chosen)}"
            print(f"no results of these settings are committed: what is missing is measured, into {output}")
        return cls(chosen, output)

    @cached_property
    def committed(self) -> "Run | None":
        """The published run whose committed results these settings can be compared with, if there is one."""
        settings = published(self.settings)
        return Run(settings) if settings else None

    @property
    def _theirs(self) -> "Run":
        if self.committed is None:
            raise ValueError(f"no results of these settings are committed: {self.settings}")
        return self.committed

    @property
    def _name(self) -> str:
        """Of this subject's folders, one for each thing that its prompts can begin with. Two directories may end in the
        same name, and two names on the hub too."""
        subject, bos = self.settings.subject, self.settings.bos
        name = subject.replace("/", "--")
        if Path(subject).is_absolute():
            name = f"{Path(subject).name}-{short_hash(subject.encode())[:8]}"
        return name if bos == DEFAULT else f"{name}-bos-{re.sub(r'[^a-z]', '', bos)}-{short_hash(bos.encode())[:4]}"

    @property
    def folder(self) -> Path:
        """Where results are."""
        return (ROOT / self.output / "results" if self.output else RESULTS) / self._name

    @property
    def figures(self) -> Path:
        """Where figures are."""
        return ROOT / self.output / "figures" / self._name if self.output else FIGURES

    @property
    def notebooks(self) -> Path:
        """Where executed notebooks are."""
        return ROOT / self.output / "notebooks" / self._name if self.output else NOTEBOOKS

    @property
    def partial(self) -> Path:
        """Where what is not finished is kept (blocks of tables, checkpoints of training), and what was set aside."""
        return ROOT / self.output / "partial" / self._name

    @property
    def lock(self) -> Path:
        """Held by the one process that makes the run as a whole; locks of single results are beside it, named as they are."""
        return ROOT / self.output / "locks" / self._name / "run"

    @contextmanager
    def _turn(self, path: Path) -> Iterator[None]:
        """To measure or judge a result while nobody else does."""
        with in_turn(self.lock.with_name(path.name), f"{path.name} of {self.output}"):
            for folder in (self.folder, self.partial):
                remove_left_behind(folder)
            yield

    def _turn_unless_stored(self, *paths: Path) -> AbstractContextManager[None]:
        """The turn of the first of results that are made together, unless all are there: until they are, another process may be
        between one of them and its manifest, which would not look whole."""
        return nullcontext() if not self.output or all(map(is_stored, paths)) else self._turn(paths[0])

    def reads(self, path: Path, code: str = "") -> bool:
        """Whether to read a result, rather than to measure it. In an output folder what is not whole, or was made by another
        ``code``, is set aside and measured again; among the committed results it is refused when it is read."""
        if not self.output:
            if not is_stored(path):
                raise FileNotFoundError(f"{path.name} is not among the committed results; run `make reproduce`")
            return True
        whole = is_whole(path, self.partial / ASIDE)
        if whole and code and read_provenance(path)["code"] != code:
            set_aside(path, self.partial / ASIDE, f"{path.name} was made by other code")
            return False
        return whole

    @contextmanager
    def _measures(self, path: Path, code: str = "") -> Iterator[bool]:
        """Whether to measure a result here and now: other processes that want to measure it, too, wait meanwhile, and then read it."""
        # Until it is our turn another process may be between the file and its manifest, which would not look whole.
        if (not self.output or is_stored(path)) and self.reads(path, code):
            yield False
            return
        with self._turn(path):
            yield not self.reads(path, code)

    @cached_property
    def subject(self) -> Subject:
        """The subject, loaded once. Reading results does not need it.

        Raises ``StaleResult`` when it is not what the results are of, also where only what its prompts begin with has changed: that
        stands in files which :func:`circuitlib.subjects.card.fingerprint` does not hash.
        """
        loaded = self.loaded(self.settings.convention)
        stored = self._stored_card(self.folder / CARD)
        if stored and (differs := differences(stored.record(), loaded.card.record())):
            raise StaleResult(f"the results in {self.folder.name} are of another {stored.name}: {'; '.join(differs)}")
        return loaded

    def loaded(self, convention: Convention) -> Subject:
        """The subject under a convention, as its checkpoint is now. Raises what :func:`circuitlib.subjects.load.load_subject` raises."""
        return load_subject(self.settings.subject, convention, self.device, self.settings.bos)

    def _made_on(self) -> dict[str, Any]:
        """:func:`circuitlib.manifest.made_on`, and the GPU, where the subject is on one."""
        made = made_on()
        if self.device != "cpu":
            made["processor"] = made["processor"] | {"gpu": torch.cuda.get_device_name(self.device)}
        return made

    @cached_property
    def card(self) -> Card:
        """What the results are about, from ``subject.json`` beside them, or of the loaded subject.

        Raises ``StaleResult`` when the checkpoint that is here is not the one that the results are of.
        """
        path = self.folder / CARD
        card = self._stored_card(path)
        if card is None:
            if self.output:
                with self._turn(path), written_whole(path) as temporary:
                    temporary.write_text(as_json(self.subject.card.record()))
            return self.subject.card
        for what, wanted in (("convention", self.settings.convention), ("bos", self.settings.bos)):
            if wanted != DEFAULT and (found := getattr(card, what)) != wanted:
                raise StaleResult(f"{path} is of the {what} {found}, and this run of {wanted}")
        if directory := local_checkpoint(self.settings.subject):
            here, stored = fingerprint(directory), card.record()
            if differs := differences({name: stored[name] for name in here}, here):
                raise StaleResult(f"the results in {path.parent.name} are of another {card.name}: {'; '.join(differs)}")
        return card

    def _stored_card(self, path: Path) -> Card | None:
        if not path.is_file():
            return None
        try:
            return Card.read(path)
        except StaleResult as reason:
            if not self.output:
                raise
            set_aside(path, self.partial / ASIDE, str(reason))
            return None

    def beside(self) -> list["Run"]:
        """This run and, if it is a published one, the published runs of the other subjects, from which the book argues as
        well. A run in a folder of its own stands alone."""
        return [
            self,
            *(Run(settings) for settings in PUBLISHED.values() if not self.output and settings != self.settings),
        ]

    @property
    def title(self) -> str:
        """Its subject, as tables and sentences name it."""
        return subject_title(self.card.name)

    @property
    def caption(self) -> str:
        """What its figures and tables are of: the subject, what its prompts begin with, its control text."""
        return f"{self.title}; prompts begin with {self.card.bos}; control text: {self.settings.text}"

    @cached_property
    def left_out(self) -> dict[str, str]:
        """Tasks that the subject cannot do, each with a sentence that says why."""
        tasks, able = self.settings.tasks, self.settings.check_tasks

        def compute() -> pd.DataFrame:
            reasons = [why_left_out(self.subject, TASKS[name], able=able) for name in tasks]
            return pd.DataFrame({"task": tasks, "left_out": reasons}, dtype=object)

        report = self.frame("tasks", compute, "circuitlib.ablation.check_task", tasks=tasks, able=able).dropna()
        return dict(zip(report["task"], report["left_out"], strict=True))

    def _able(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in names if name not in self.left_out)

    @property
    def training_tasks(self) -> tuple[str, ...]:
        """Tasks that policies are trained on. Raises ``ValueError`` when the subject can do none."""
        able = self._able(self.settings.training_tasks)
        if not able:
            reasons = " ".join(self.left_out[name] for name in self.settings.training_tasks)
            raise ValueError(f"{self.card.name} does no task that policies are trained on. {reasons}")
        return able

    @property
    def main_tasks(self) -> tuple[str, ...]:
        """The training tasks and, where the subject does it, the held-out one."""
        return (*self.training_tasks, *self._able((self.settings.held_out_task,)))

    @property
    def further_tasks(self) -> tuple[str, ...]:
        """Behaviours that the paper does not use: more tries of transfer to a task never shown."""
        return self._able(self.settings.further_tasks)

    @property
    def tasks(self) -> tuple[str, ...]:
        """All tasks that the subject does."""
        return (*self.main_tasks, *self.further_tasks)

    def tasks_of(self, part: Part) -> tuple[str, ...]:
        """The tasks that there are tables of: all, and to train on, the training tasks."""
        return self.tasks if part == "evaluation" else self.training_tasks

    def recipe(self, name: str, part: Part, through: Through | None = None) -> Recipe:
        """What the table of a task or behaviour, or of ``control``, is made of; ``through``: of estimates."""
        task, settings = None if name == CONTROL else (TASKS | SHORT)[name], self.settings
        count = BATCH if name in SHORT else settings.rows(task is None, part)
        return Recipe(task, count, part, settings.text, settings.ablation, through)

    def table_path(self, name: str, part: Part, through: Through | None = None) -> Path:
        """Where the table of a task or ``control`` is, or, in a folder of their own, of a behaviour."""
        what = f"estimate_{through}" if through else "damage"
        folder = self.folder / "behaviours" if name in SHORT else self.folder
        return folder / f"{what}_{name}_{part}.safetensors"

    def table(
        self, name: str, part: Part, progress: Progress = lambda units: None, through: Through | None = None
    ) -> DamageTable:
        """The table of damages of a task or behaviour, or of ``control``; ``through``: of estimates of them.

        One that other code made is measured again on a few seeded rows; equal to rounding, it is stamped
        anew, otherwise refused (``StaleResult``).
        """
        path, recipe = self.table_path(name, part, through), self.recipe(name, part, through)
        with self._measures(path) as missing:
            if missing:
                with _norms_are_held():
                    table = build_table(self.subject, recipe, self.partial, progress)
                save_table(replace(table, provenance=table.provenance | self._made_on()), path)
        table, wanted = load_table(path), _wanted(recipe, self.card)
        differs = differences(table.provenance, wanted)
        if differs and not differences(table.provenance | {"code": ""}, wanted | {"code": ""}):
            differs = self._judged(path, recipe, wanted)
        if differs:
            raise StaleResult(f"{path.name} is of another run: {'; '.join(differs)}")
        return replace(table, damage=table.damage.float())

    def _judged(self, path: Path, recipe: Recipe, wanted: dict[str, Any]) -> list[str]:
        """Stamp a table of other code anew if rows of it are measured again and equal to rounding, unless another process just has; else
        what differs."""
        with self._turn(path) if self.output else nullcontext():
            table = load_table(path)
            if not differences(table.provenance, wanted):
                return []
            with _norms_are_held():
                again = differs_again(self.subject, recipe, table)
            if not again <= self.settings.rounding:  # what is not a number is refused, too
                return [f"the code has changed, and its rows by up to {again:.1e}{_other_versions(table)}"]
            restamp(path, table.provenance | {"code": wanted["code"]})
            return []

    def adopted_table(
        self, name: str, part: Part, progress: Progress = lambda units: None, through: Through | None = None
    ) -> DamageTable:
        """The committed table, taken into this run once a few seeded rows have been measured again and are equal to
        rounding; ``StaleResult`` where they are not. For a subject whose tables take hours."""
        path, recipe = self.table_path(name, part, through), self.recipe(name, part, through)
        if not is_stored(path):
            committed = _committed(load_table, self._theirs.table_path(name, part, through))
            wanted = recipe.provenance(self.card)
            differs = differences(committed.provenance | {"code": ""}, wanted | {"code": ""})
            with _norms_are_held():
                again = 0.0 if differs else differs_again(self.subject, recipe, committed)
            if not again <= self.settings.rounding:  # what is not a number is refused, too
                apart = f"rows measured again differ from the committed ones by up to {again:.1e}"
                differs = [apart + _other_versions(committed)]
            if differs:
                raise StaleResult(f"{path.name} cannot be taken: {'; '.join(differs)}")
            save_table(replace(committed, provenance=wanted), path)
            progress(ROWS_AGAIN)
        return self.table(name, part, through=through)

    def rows_missing(self, name: str, part: Part, through: Through | None = None) -> int:
        """Rows of a table that are still to be measured."""
        return 0 if is_stored(self.table_path(name, part, through)) else self.recipe(name, part, through).count

    def priced_tables(self, name: str, part: Part, buyable: Mapping[str, Through] = ESTIMATES) -> PricedTables:
        """All that can be bought of a task's or behaviour's prompts: damages, and estimates, by name and what they go through."""
        damage, general = self.table(name, part), self.table(CONTROL, part)
        estimates = {
            title: (
                PRICES[through],
                self.table(name, part, through=through),
                self.table(CONTROL, part, through=through),
            )
            for title, through in buyable.items()
        }
        return PricedTables(damage, general, estimates)

    def training_episodes(self) -> TableEpisodes:
        """What policies are trained on: episodes of all training tasks."""
        tables = [self.table(name, "train") for name in self.training_tasks]
        return TableEpisodes(tables, self.table(CONTROL, "train"), self.settings.penalty)

    def ppo_config(self, candidates: int) -> PPOConfig:
        """The paper's settings, with this run's number of steps and a budget that the subject has heads for."""
        return PPOConfig(total_timesteps=self.settings.steps, candidates=candidates, budget=budget_for(self.card.heads))

    def policy_path(self, candidates: int) -> Path:
        """Where the policies trained with k ``candidates`` are, of the seeds that are kept."""
        return self.folder / f"policy_k{candidates}.safetensors"

    def _policy_paths(self, candidates: int) -> list[Path]:
        """That, and, in a folder of its own, of the other seeds; their weights are not published."""
        kept = self.policy_path(candidates)
        others = kept.with_stem(f"{kept.stem}{OTHERS}")
        return [kept, others] if self.output and self.settings.seeds > KEPT else [kept]

    def _history_path(self, candidates: int) -> Path:
        return self.folder / f"training_k{candidates}.parquet"

    def _policy_provenance(self, candidates: int) -> dict[str, Any]:
        names = [self.table_path(name, "train").name for name in (*self.training_tasks, CONTROL)]
        return {
            "subject": self.card.record(),
            "config": asdict(self.ppo_config(candidates)),
            "penalty": self.settings.penalty,
            "seeds": list(range(self.settings.seeds)),
            "tables": self.hashes(*names),
            "code": code_of("circuitlib.search.ppo_seeds"),
        } | made_on()

    def policies(self, progress: Progress = lambda units: None) -> dict[int, dict[int, ActorCritic]]:
        """Trained policies by the k they were trained with, and by seed; of a published run those of the seeds that are kept. Trains
        those that are missing, one process for each k, with checkpoints among what is not finished.

        Those that other code trained are trained again for a few updates: where the same is found, they are stamped anew."""
        source = self.training_episodes()
        wanted = {k: self._policy_provenance(k) for k in CANDIDATES}
        missing = [k for k in CANDIDATES if not self._has_policies(k, source, wanted[k])]
        trainings = [
            Training(
                self.ppo_config(k), wanted[k], self._policy_paths(k), self._history_path(k), self.partial, self.lock
            )
            for k in missing
        ]
        if trainings:
            train_policies(source, trainings, progress)
        found = {k: [load_policy(path, wanted[k])[0] for path in self._policy_paths(k)] for k in CANDIDATES}
        return {k: {seed: network for some in parts for seed, network in some.items()} for k, parts in found.items()}

    def kept_policies(self) -> dict[int, dict[int, ActorCritic]]:
        """:meth:`policies` of the first ``KEPT`` seeds, which a published run has, too."""
        return {k: {seed: some[seed] for seed in sorted(some)[:KEPT]} for k, some in self.policies().items()}

    def _has_policies(self, candidates: int, source: TableEpisodes, wanted: dict[str, Any]) -> bool:
        """Whether policies can be read, having stamped them anew where their code alone is another. Not judged while another
        process writes them."""
        paths = self._policy_paths(candidates)
        with self._turn_unless_stored(*paths, self._history_path(candidates)):
            if all([self.reads(path) for path in (*paths, self._history_path(candidates))]):
                self._stamp_policies(candidates, source, wanted)
            return all([self.reads(path, wanted["code"]) for path in paths])

    def _stamp_policies(self, candidates: int, source: TableEpisodes, wanted: dict[str, Any]) -> None:
        """Stamp policies anew whose code alone is another, if it finds the same in the first updates of the kept seeds."""
        paths = [*filter(is_stored, self._policy_paths(candidates)), self._history_path(candidates)]
        stored = {path: read_provenance(path) for path in paths}
        other = [path for path, found in stored.items() if found["code"] != wanted["code"]]
        if not other or any(differences(found | {"code": ""}, wanted | {"code": ""}) for found in stored.values()):
            return
        trainer = Trainer(source, self.ppo_config(candidates), wanted["seeds"][:KEPT])
        trainer.train(stop=lambda: trainer.done == UPDATES_AGAIN)
        again, history = pd.DataFrame(trainer.history), load_frame(self._history_path(candidates))
        same = history[history["seed"].isin(trainer.seeds) & (history["update"] <= UPDATES_AGAIN)]
        by = ["seed", "update", "task"]
        one, two = (frame.sort_values(by, kind="stable").reset_index(drop=True) for frame in (again, same))
        try:
            pd.testing.assert_frame_equal(one, two, check_dtype=False, rtol=1e-3, atol=1e-4)
        except AssertionError:
            return  # refused, or trained anew, as any result of other code
        for path in other:
            restamp(path, stored[path] | {"code": wanted["code"]})

    def training_history(self) -> pd.DataFrame:
        """What the policies found while training: trained_k, seed, update, task, best."""
        for k in CANDIDATES:
            path, history = self.policy_path(k), self._history_path(k)
            with self._turn_unless_stored(path, history):
                if not self.reads(history) and path.exists():
                    reason = f"{path.name} is without its history, which only training it tells"
                    set_aside(path, self.partial / ASIDE, reason)
        self.policies()
        frames = [load_frame(self._history_path(k), self._policy_provenance(k)).assign(trained_k=k) for k in CANDIDATES]
        return pd.concat(frames, ignore_index=True)

    def frame_path(self, name: str) -> Path:
        """Where a tidy table is."""
        return self.folder / f"{name}.{'parquet' if name in LONG else 'csv'}"

    def frame(self, name: str, compute: Callable[[], pd.DataFrame], module: str, **inputs: Any) -> pd.DataFrame:
        """A tidy table with its manifest ``name.json``, computed if it is not there.

        module: whose code, with all that it imports, determines it. inputs: whatever else does (settings,
        hashes of other results).
        """
        path, wanted = self.frame_path(name), self._frame_provenance(module, inputs)
        with self._measures(path, wanted["code"]) as missing:
            if missing:
                save_frame(path, compute(), wanted)
        return load_frame(path, wanted)

    def frame_by_task(
        self,
        name: str,
        measure: Callable[[Sequence[str]], pd.DataFrame],
        tasks: Sequence[str],
        module: str,
        /,
        **inputs: Any,
    ) -> pd.DataFrame:
        """A :meth:`frame` with a column ``task``, of which ``measure`` makes the rows of any tasks.

        One that other code made is measured again on one of them; equal to rounding, it is stamped anew.
        """
        path, wanted = self.frame_path(name), self._frame_provenance(module, inputs)
        if is_stored(path):
            self._stamp_frame(path, wanted, measure, tasks[int(wanted["code"], 16) % len(tasks)])
        return self.frame(name, lambda: measure(tasks), module, **inputs)

    def _frame_provenance(self, module: str, inputs: dict[str, Any]) -> dict[str, Any]:
        return {
            "subject": self.card.record(),
            "text": self.settings.text,
            "ablation": self.settings.ablation,
            "inputs": inputs,
            "code": code_of(module),
        } | self._made_on()

    def _stamp_frame(
        self, path: Path, wanted: dict[str, Any], measure: Callable[[Sequence[str]], pd.DataFrame], task: str
    ) -> None:
        """Stamp a frame anew of which the code alone is another, if its rows of one task are measured again and equal to rounding."""
        with (
            self._turn(path) if self.output else nullcontext(),
            suppress(StaleResult),
        ):  # which is told where it is read
            stored, frame = read_provenance(path), load_frame(path)
            if stored["code"] == wanted["code"] or differences(stored | {"code": ""}, wanted | {"code": ""}):
                return
            again, same = (part[part["task"] == task].reset_index(drop=True) for part in (measure((task,)), frame))
            try:
                pd.testing.assert_frame_equal(again, same, check_dtype=False, rtol=1e-3, atol=self.settings.rounding)
            except AssertionError:
                return
            restamp(path, stored | {"code": wanted["code"]})

    def adopt_frame(self, name: str, module: str) -> bool:
        """Take a committed frame into this run as it is, and say whether it was: not if it is here already, or is not
        committed, or by other code."""
        ours, committed = self.frame_path(name), self._theirs.frame_path(name)
        if is_stored(ours) or not is_stored(committed):
            return False
        provenance = _committed(read_provenance, committed)
        if provenance["code"] != code_of(module):
            return False
        save_frame(ours, load_frame(committed), provenance)
        return True

    def table_hashes(self, names: Sequence[str], part: Part, through: Through | None = None) -> dict[str, str]:
        """Content hashes of the tables of tasks, or of ``control``; measured where they are missing."""
        for name in names:
            self.table(name, part, through=through)
        paths = [self.table_path(name, part, through) for name in names]
        return {path.name: content_hash(path) for path in paths}

    def training_hashes(self) -> dict[str, str]:
        """Of the policies that are kept, and of what all seeds found while training, which tells the others' weights."""
        return self.hashes(*(path.name for k in CANDIDATES for path in (self.policy_path(k), self._history_path(k))))

    def hashes(self, *names: str) -> dict[str, str]:
        """Content hashes of stored results, to be the inputs of others."""
        return {name: content_hash(self.folder / name) for name in names}


def _named_for(settings: Settings) -> str:
    """A folder's name for settings, by what differs from the defaults."""
    usual, chosen = asdict(Settings()), asdict(settings)
    said = "-".join(f"{name}-{chosen[name]}" for name in sorted(chosen) if chosen[name] != usual[name])
    name = re.sub(r"[^A-Za-z0-9.]+", "-", said).strip("-.")
    return name if name == said else f"{name[:60]}-{short_hash(said.encode())[:8]}"


@cache
def _wanted(recipe: Recipe, card: Card) -> dict[str, Any]:
    """What is asked of a table's provenance, once per process: it is read dozens of times."""
    return recipe.provenance(card)


def _committed(read: Callable[[Path], Read], path: Path) -> Read:
    """What is committed, read. Raises ``ValueError`` where it is not whole, for which to measure anew is no remedy."""
    try:
        return read(path)
    except StaleResult as reason:
        raise ValueError(f"{path} is committed, and corrupt: restore it, as with git ({reason})") from None


def _other_versions(table: DamageTable) -> str:
    """What is said where a table is refused of packages that it was measured with: the control text is read from them."""
    then, now = table.provenance["versions"], made_on()["versions"]
    places = then if type(then) is list else [then]
    other = [name for name in now if any(versions.get(name) != now[name] for versions in places)]
    text = ", and its text is docstrings of such packages" if table.provenance.get("text") == "docstrings" else ""
    return f" (made with other versions of {', '.join(other)}{text}: install those of constraints.txt)" if other else ""


@contextmanager
def _norms_are_held() -> Iterator[None]:
    """Without TransformerLens' word that a norm computed with a held scale is rounded otherwise: the frozen gradient means to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A forward hook edited hook_scale", UserWarning)
        yield
