"""JSON for the API server that its YAML reader takes as well: the body of a server-side apply goes through that one.

It refuses a character beyond the first 65,536 as a pair of escapes, which JSON writes for it, and control characters
that are not escaped. So the one is written as itself, and the others as escapes.
"""

import json
import re
from typing import Any

_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
"""What JSON may hold as itself and YAML may not (its production c-printable), and halves of surrogate pairs."""


def wire_json(body: Any) -> bytes:
    """The body in UTF-8, without spaces. Half of a surrogate pair, which is no character, becomes U+FFFD."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return _ESCAPED.sub(_escape, text).encode()


def _escape(match: re.Match[str]) -> str:
    is_half = "\ud800" <= match[0] <= "\udfff"
    return "\ufffd" if is_half else f"\\u{ord(match[0]):04x}"
