"""The names of the program, and the order in which `--help` shows its commands. Imported at every start."""

import os

PROGRAM = "cnichain"
PLUGIN = "kubectl-cnichain"
COMPLETE_VARIABLE = "_CNICHAIN_COMPLETE"
"""What the completion script sets; the same whatever name the program is called by."""

SECTIONS = {
    "See how it is": ("status", "check", "nodes", "tree", "trace", "unmanaged", "overhead"),
    "Before a change": ("analyze", "render", "diff", "catalogue"),
    "Steer a change": ("pause", "resume", "retry", "rollback"),
    "Hubble and audit": ("hubble", "evidence"),
    "Set up": ("bundle", "completion", "dev"),
    "Run by Kubernetes": ("operator", "agent"),
}
"""Commands by what a user wants; one that is named here and not there is left out, one that is not named comes last."""
OTHERS = "Others"


def in_sections(commands: set[str]) -> dict[str, list[str]]:
    """The commands that are there, in the order in which a reader needs them."""
    found = {title: [name for name in names if name in commands] for title, names in SECTIONS.items()}
    named = {name for names in found.values() for name in names}
    found[OTHERS] = sorted(commands - named)
    return {title: names for title, names in found.items() if names}


def called_as(argv0: str) -> str:
    """How the reader has called the program: kubectl runs its plugins by their file's name."""
    return "kubectl cnichain" if os.path.basename(argv0).startswith(PLUGIN) else PROGRAM  # noqa: PTH119 - no pathlib
