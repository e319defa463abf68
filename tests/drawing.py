"""How many examples a drawn test takes: few in ``make test``, many in ``make test-all``."""

from hypothesis import settings

MANY = "many"
"""The profile of ``pytest --hypothesis-profile``."""


def examples(few: int, many: int) -> settings:
    """As many as the profile that is loaded says, the same ones each time, however long each takes."""
    count = many if settings.get_current_profile_name() == MANY else few
    return settings(max_examples=count, deadline=None, derandomize=True)
