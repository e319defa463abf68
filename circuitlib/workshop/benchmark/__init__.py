"""``python -m circuitlib benchmark``: speed and memory, side by side, on this machine.

What is compared runs in one process, in turns, after a warm-up; a time is the median of at least five turns, in
``growth`` of at most three. Operations are those of :mod:`circuitlib.companion.speed`, which also reads the
tables that are committed; memory is the largest resident size of a process of its own.
"""

import argparse
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import torch
from transformers.utils.logging import disable_progress_bar

from circuitlib.manifest import made_on, save_frame
from circuitlib.paths import RUNS
from circuitlib.search.ppo import PPOConfig
from circuitlib.subjects.checkpoints import EMBEDDED, SMOLLM2, local_checkpoint
from circuitlib.workshop.benchmark.machine import REPEATS, this_gpu, this_machine


def _sweeps(options: argparse.Namespace) -> Iterator[pd.DataFrame]:
    from circuitlib.workshop.benchmark.random_weights import GPT2_SHAPE, random_checkpoint
    from circuitlib.workshop.benchmark.sweeps import sweeps

    with tempfile.TemporaryDirectory() as folder:
        large = str(random_checkpoint(Path(folder), GPT2_SHAPE))
        subjects = {EMBEDDED: options.positions, large: options.positions // 8}
        if local_checkpoint(SMOLLM2):
            subjects[SMOLLM2] = options.positions // 4
        else:
            print(f"{SMOLLM2} is not here and is left out; `make smollm2` fetches it", flush=True)
        yield from sweeps(subjects, options.repeats, options.device)


def _policies(options: argparse.Namespace) -> Iterator[pd.DataFrame]:
    from circuitlib.companion.run import Run
    from circuitlib.workshop.benchmark.policies import policies

    yield from policies(Run().training_episodes(), options.steps, options.seeds, options.repeats)


def _growth(options: argparse.Namespace) -> Iterator[pd.DataFrame]:
    from circuitlib.workshop.benchmark.growth import CASES, growth

    yield from growth(CASES)


PARTS = {"sweeps": _sweeps, "policies": _policies, "growth": _growth}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, say how far it is, and write a table per part, whole after each of its rows."""
    parser = argparse.ArgumentParser(
        prog="python -m circuitlib benchmark",
        description="Measure the sweep, its alternatives and PPO side by side on this machine.",
    )
    options = {
        "positions": (512, "of each workload; an eighth of them at GPT-2's sizes, a quarter on SmolLM2"),
        "repeats": (REPEATS, f"turns that count, at least {REPEATS}"),
        "steps": (PPOConfig.total_timesteps, "of each PPO training"),
        "seeds": (10, "trained at once"),
    }
    for name, (default, words) in options.items():
        words += " (default: %(default)s)"
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=words)
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="cuda measures sweeps alone (default: %(default)s)"
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, help="all that the device has by default")
    words = "folder for the tables, in which this processor has one (default: runs/speed)"
    parser.add_argument("--output", type=Path, default=RUNS / "speed", help=words)
    chosen = parser.parse_args(arguments)
    gpu = chosen.device == "cuda"
    if gpu and not torch.cuda.is_available():
        parser.error("--device cuda: this torch finds no CUDA device")
    has = ["sweeps"] if gpu else list(PARTS)
    chosen.parts = chosen.parts or has
    if not set(chosen.parts) <= set(has):
        parser.error(f"--parts {' '.join(chosen.parts)}: on {chosen.device} there are {', '.join(has)}")
    updates = chosen.steps // (PPOConfig.num_envs * PPOConfig.num_steps)
    if chosen.repeats < REPEATS or chosen.positions < 8 or chosen.seeds < 1:
        parser.error(f"at least --repeats {REPEATS}, --positions 8 and --seeds 1 are needed")
    if updates <= chosen.repeats:
        parser.error(f"--steps {chosen.steps} make {updates} updates; each turn needs one at least")
    disable_progress_bar()
    asked = {name: getattr(chosen, name) for name in options}
    provenance = {"machine": this_gpu() if gpu else this_machine(), "arguments": asked, **made_on()}
    folder = chosen.output / re.sub(r"[^a-z0-9]+", "-", provenance["machine"]["processor"].lower())
    if chosen.parts == list(PARTS):
        print("about 40 minutes on two cores, if nothing else runs", flush=True)
    for part in chosen.parts:
        began, frame = time.perf_counter(), pd.DataFrame()
        for frame in PARTS[part](chosen):
            save_frame(folder / f"{part}.csv", frame, provenance)
            print(f"{part}: {len(frame)} rows, {time.perf_counter() - began:.0f} s", flush=True)
        print(frame.to_string(index=False, float_format="{:.3g}".format), flush=True)
    print(f"tables: {folder}")
    return 0
