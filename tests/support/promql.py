"""Which metrics a PromQL expression asks for: a tokenizer, as far as our own queries need it."""

import re

_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'')
_MATCHERS = re.compile(r"\{[^{}]*\}")
_RANGES = re.compile(r"\[[^\]]*\]")
_LABELS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)")
_OFFSET = re.compile(r"\boffset\s+\S+")
_NAME = re.compile(r"(?<![\w.:$])([a-zA-Z_:][\w:]*)(?!\s*\(|[\w:])")
_WORDS = {"and", "or", "unless", "bool", "group_left", "group_right", "inf", "nan", "atan2"}


def metric_names(expression: str) -> set[str]:
    """The names of metrics in an expression."""
    text = expression
    for pattern in (_STRINGS, _MATCHERS, _RANGES, _LABELS, _OFFSET):
        text = pattern.sub(" ", text)
    aggregated = re.sub(r"\b(?:by|without|on|ignoring)\b", " ", text)
    return {name for name in _NAME.findall(aggregated) if name.lower() not in _WORDS}
