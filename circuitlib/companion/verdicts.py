"""The rules by which intervals become words. A wider interval never turns into a stronger word."""

MARGIN = 0.05
"""A fraction agrees with the paper's where they are so near each other."""

POINT = 0.01
"""An effect within one hundredth of the oracle is none."""


def agreement(low: float, high: float) -> str:
    """Of the 95% interval of a difference from the paper's fraction: ``consistent`` where it lies within :data:`MARGIN` of
    zero, ``inconsistent`` where all of it lies outside, ``undecided`` otherwise."""
    if low >= -MARGIN and high <= MARGIN:
        return "consistent"
    return "inconsistent" if low > MARGIN or high < -MARGIN else "undecided"


CEILING = 0.99
"""Above this fraction of the oracle without reading, nothing is left to be gained by it."""


def reads(low: float, high: float, blind: float) -> str:
    """Of the 95% interval of what seeing its rewards gains a policy over seeing zeros, with which it finds the fraction
    ``blind``: ``does not read`` where the interval lies within :data:`POINT` of zero (``at the ceiling`` where ``blind`` is above
    :data:`CEILING`, so that it shows nothing), otherwise ``gains`` above zero, ``loses`` below, ``undecided`` across it."""
    if low >= -POINT and high <= POINT:
        return "at the ceiling" if blind > CEILING else "does not read"
    return "gains" if low > 0 else "loses" if high < 0 else "undecided"
