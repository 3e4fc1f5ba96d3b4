"""Where something was measured."""

import os
import platform
import time


def machine() -> str:
    """In one line, with the load at the beginning."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    python = f"Python {platform.python_version()}"
    return f"{time.strftime('%Y-%m-%d')}, Linux {platform.release()}, {os.cpu_count()} cores, {python}, load {load}"
