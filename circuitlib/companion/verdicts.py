"""The rules by which 95% intervals become words. A wider interval never turns into a stronger word, and one that is not known
leaves everything undecided."""

MARGIN = 0.05
"""A fraction agrees with the paper's where they are so near each other."""

POINT = 0.01
"""A gain within one hundredth of the oracle is none."""

CEILING = 0.99
"""Above this fraction of the oracle without seeing, nothing is left to be gained by it."""


def agreement(low: float, high: float) -> str:
    """Of a difference from the paper's fraction: ``consistent`` where the interval lies within :data:`MARGIN` of zero,
    ``inconsistent`` where all of it lies outside, ``undecided`` otherwise."""
    if low >= -MARGIN and high <= MARGIN:
        return "consistent"
    return "inconsistent" if low > MARGIN or high < -MARGIN else "undecided"


def gains(low: float, high: float, blind: float) -> str:
    """Of what seeing its rewards gains a policy over seeing zeros, with which it finds the fraction ``blind``: ``gains nothing`` where
    the interval lies within :data:`POINT` of zero (``at the ceiling`` where ``blind`` is above :data:`CEILING`, so that
    it shows nothing), otherwise ``gains`` above zero, ``loses`` below, ``undecided`` across it."""
    if low >= -POINT and high <= POINT:
        return "at the ceiling" if blind > CEILING else "gains nothing"
    return "gains" if low > 0 else "loses" if high < 0 else "undecided"


def beats(low: float, high: float) -> str:
    """Of how much more one searcher finds than another on the same episodes: ``holds`` above zero, ``the other way round`` below,
    ``undecided`` across it."""
    return "holds" if low > 0 else "the other way round" if high < 0 else "undecided"
