"""Part of a small run, in a process of its own that tests kill: ``python small_run.py FOLDER CHECKPOINT OUTPUT SEEDS STEPS``."""

import sys
from pathlib import Path

from circuitlib.ablation import build
from circuitlib.companion import frames, run
from circuitlib.companion.run import Run
from circuitlib.companion.settings import Settings
from circuitlib.tasks import control_text


def small_run(folder: Path, checkpoint: str, output: str, seeds: int = 1, steps: int = 1200) -> Run:
    """A run of the two tasks with the shortest prompts, 32 of them a table, whose outputs are in ``folder``."""
    run.ROOT = folder
    tasks = {"training_tasks": ["ioi"], "held_out_task": "agreement", "further_tasks": [], "check_tasks": False}
    small = {"train_prompts": 32, "evaluation_prompts": 32, "episodes": 2, "seeds": seeds, "steps": steps}
    return Run(Settings.of({"subject": checkpoint, "control": "docstrings"} | tasks | small), output)


def measure(mine: Run) -> None:
    """Tables of both parts in blocks of eight rows, with control spans of twelve tokens, policies, and what they find."""
    build.BLOCK, control_text.SPAN = 8, 12
    for name in (*mine.training_tasks, "control"):
        mine.table(name, "train")
    mine.policies()
    frames.heads(mine)
    frames.evaluation(mine)


if __name__ == "__main__":
    folder, checkpoint, output, seeds, steps = sys.argv[1:]
    mine = small_run(Path(folder), checkpoint, output, int(seeds), int(steps))
    print("measuring", flush=True)
    measure(mine)
