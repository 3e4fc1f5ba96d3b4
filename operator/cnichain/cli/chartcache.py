"""Where charts are kept that have been downloaded and checked."""

import os
from pathlib import Path


def default_cache() -> Path:
    """The folder, of the operator's option `--cache-dir` too."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cnichain" / "charts"
