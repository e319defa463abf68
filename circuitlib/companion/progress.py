"""Progress that counts what is done: a bar with the time left on a terminal, elsewhere a line per finished part."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


class Progress:
    """Of parts that each have a number of units. Units are weighted by a guess of their seconds, which only
    decides how the bar is shared out.

    total: of all units, weighted. Call :meth:`part` around each part.
    """

    def __init__(self, total: float) -> None:
        self.bar = tqdm(
            total=total,
            disable=None,  # where it is not a terminal
            bar_format="{desc:<32}|{bar:20}| {percentage:3.0f}%  {elapsed} gone, {remaining} left",
        )
        self.done = 0.0
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str, group: str, weight: float) -> Iterator[Callable[[int], None]]:
        """A part that is being done; yields what is to be told how many more of its units are.

        group: whose seconds it adds to. weight: of one unit.
        """

        def count(units: int) -> None:
            self.done += weight * units
            self.bar.update(weight * units)

        self.bar.set_description_str(name)
        began = time.monotonic()
        yield count
        taken = time.monotonic() - began
        self.seconds[group] = self.seconds.get(group, 0.0) + taken
        if self.bar.disable:
            print(f"{name}: {taken:.0f} s", flush=True)

    def close(self) -> None:
        """End the bar's line."""
        self.bar.close()
