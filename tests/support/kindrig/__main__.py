"""`python -m kindrig`, for `make e2e-kind`: says what is missing here and ends with 2, or says nothing."""

import sys
import textwrap

from kindrig.requirements import ask_docker, why_unavailable

if reason := why_unavailable(ask_docker()):
    print(textwrap.fill(reason, 80, break_on_hyphens=False, break_long_words=False), file=sys.stderr)
    sys.exit(2)
