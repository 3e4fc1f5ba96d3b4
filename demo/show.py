"""What the demo prints: plain text that reads well in 80 columns, colour only on a terminal."""

import os
import sys
import textwrap
import time

from cnichain.dev.controlplane import ControlPlane
from cnichain.dev.parts import Parts

WIDTH = 79


class Screen:
    """Prints headings, progress and command output."""

    def __init__(self) -> None:
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._started = time.monotonic()

    def head(self, text: str) -> None:
        """A new chapter."""
        print("\n" + self._paint("1", f"== {text}"), flush=True)

    def say(self, text: str) -> None:
        """One line, or a paragraph, of what happens."""
        print(
            textwrap.fill(text, WIDTH, initial_indent="   ", subsequent_indent="   ", break_on_hyphens=False),
            flush=True,
        )

    def progress(self, text: str) -> None:
        """A step with the time since the demo began."""
        head = f"   {time.monotonic() - self._started:5.1f} s  "
        body = textwrap.fill(
            text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False
        )
        print(body, flush=True)

    def good(self, text: str) -> None:
        """Something that was promised and seen."""
        print("   " + self._paint("32", text), flush=True)

    def command(self, shown: str, output: str) -> None:
        """A command that a reader could type, and what it printed."""
        print("\n" + self._paint("36", f"$ {shown}"))
        print(output.rstrip(), flush=True)

    def look_around(self, control_plane: ControlPlane, parts: Parts, *, keep: bool) -> None:
        """How to go on from here."""
        if not keep:
            self.head("Done. Now everything is stopped and removed; KEEP=1 leaves it running.")
            return
        folder = parts.folders[0]
        self.head("It goes on running. Look around:")
        for line in (
            f"export KUBECONFIG={control_plane.kubeconfig}",
            f"alias kubectl={control_plane.kubectl}",
            "kubectl get cnichain,cnichainnodes",
            "kubectl describe cnichain default",
            "kubectl -n kube-system delete deployment hubble-relay   # comes back",
            f"rm {folder.conf_dir}/05-cilium.conflist   # comes back",
            f"tail -f {parts.log_of('operator')}",
            f"cnichain dev down --dir {control_plane.directory}   # stops everything",
        ):
            print(f"   {line}", flush=True)

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text
