import subprocess
import sys

import pytest

SWEEPS = """
import resource, torch
from circuitlib.ablation.sweep import Sweep
from circuitlib.subjects.load import load_subject

torch.set_num_threads(1)
subject = load_subject("gpt2-mini")
sweep, spans = Sweep(subject), torch.randint(2000, (2, 65))
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    sweep.control(spans)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="what a C library does with freed memory is glibc's")
def test_a_sweep_does_not_give_its_memory_back_all_the_time() -> None:
    """Page faults of a second sweep; more than 100,000 of them where glibc is left alone."""
    ran = subprocess.run([sys.executable, "-c", SWEEPS], capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 20_000
