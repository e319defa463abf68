"""What checks annotated shapes and types as functions are called: beartype, which takes an integer for a float, as PEP 484 does, and leaves alone a method that
returns its own class (``typing.Self``), which it could check only with the whole class."""

from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintPep673Exception

CHECK: Callable[[Callable[..., Any]], Callable[..., Any]] = beartype(conf=BeartypeConf(is_pep484_tower=True))


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, checked, or one that cannot be as it is."""
    try:
        return CHECK(function)
    except BeartypeDecorHintPep673Exception:
        return function
