"""What the benchmarks read of a process, on real ones."""

import os
import subprocess
import sys

from procfs import has_ended, rss_mb


def test_a_process_that_has_ended_is_seen_before_anybody_has_waited_for_it() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert not has_ended(process.pid)
        assert rss_mb(process.pid)[0] > 0
        assert process.stdin is not None
        process.stdin.close()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays to be waited for
        assert has_ended(process.pid)
        assert rss_mb(process.pid) == (0.0, 0.0)
