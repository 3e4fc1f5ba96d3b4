"""What the pydantic models behind the CNIChain CRD have in common."""

from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

SPEC_CONFIG = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)
"""camelCase on the wire, unknown fields refused, values immutable.

Without `use_attribute_docstrings`, for which each import reads and parses the source of every model: their words are
only wanted in the CRDs (crd.py).
"""
STATUS_CONFIG: ConfigDict = {**SPEC_CONFIG, "extra": "ignore"}
"""The same, but for fields that a newer operator may have left."""
