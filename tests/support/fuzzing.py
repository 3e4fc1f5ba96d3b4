"""How long a fuzz test runs: a few seconds in every run of the suite, many minutes in `make fuzz`."""

from hypothesis import settings


def examples(count: int) -> settings:
    """At least so many examples; more when the profile says so (HYPOTHESIS_PROFILE=fuzz, see tests/conftest.py)."""
    return settings(max_examples=max(count, settings().max_examples))
