"""faults.c, compiled: a library that stands between a process and libc."""

import shutil
import subprocess
from pathlib import Path

import pytest


def fault_library(folder: Path) -> Path:
    """The library, in a folder; skips the test where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler, and faults.c is to be compiled")
    library = folder / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True, timeout=60
    )
    return library
