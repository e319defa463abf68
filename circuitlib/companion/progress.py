"""Progress that counts what is done: a bar with the time left on a terminal, elsewhere a line per finished part."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm


class Progress:
    """Of parts that each have a number of units, whose sizes beside each other are a guess of their seconds.

    total: of all units, weighted. Call :meth:`part` around each part.
    """

    def __init__(self, total: float, initial: float = 0.0) -> None:
        self.bar = tqdm(
            total=round(total, 1),
            initial=initial,
            disable=None,  # not a terminal: no bar
            file=sys.stderr,
            bar_format="{desc:<36}|{bar:20}| {percentage:3.0f}%  {elapsed} gone, {remaining} left",
        )
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str, group: str, weight: float = 1.0) -> Iterator["Part"]:
        """A part that is being done. ``group``: whose seconds it adds to. ``weight``: of one unit."""
        self.bar.set_description_str(name)
        began = time.monotonic()
        yield Part(self.bar, weight)
        taken = time.monotonic() - began
        self.seconds[group] = self.seconds.get(group, 0.0) + taken
        if self.bar.disable:
            print(f"{name}: {taken:.0f} s", flush=True)

    def close(self) -> None:
        """Remove nothing, end the line."""
        self.bar.set_description_str("done")
        self.bar.close()


class Part:
    """Counts the units of one part."""

    def __init__(self, bar: tqdm, weight: float) -> None:
        self.bar, self.weight = bar, weight

    def __call__(self, units: int) -> None:
        """So many more units are done."""
        self.bar.update(self.weight * units)
