"""Whether a bridge's weights are still those of which copies were made.

By torch's own count of what is written to each, which sees what rounding would hide. It does not see what is written through ``.data``, nor
what is written to weights that were made in inference mode.
"""

from torch import Tensor

from circuitlib.subjects.types import Bridge

EDITED = "have been edited since"
"""What errors say of such weights."""


class Weights:
    """A bridge's weights as they are now."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge, self._then = bridge, _counted(bridge)

    def edited(self) -> bool:
        """Whether any has been written to, or replaced by another."""
        now = _counted(self._bridge)
        return len(now) != len(self._then) or any(
            weight is not other or count != before
            for (weight, count), (other, before) in zip(now, self._then, strict=True)
        )


def _counted(bridge: Bridge) -> list[tuple[Tensor, int]]:
    return [(weight, 0 if weight.is_inference() else weight._version) for weight in bridge.parameters()]
