"""What the suite needs of a machine: a Docker that runs Linux containers, and a network for the images."""

import json
import shutil
import subprocess
from dataclasses import dataclass

SECONDS = 30
INSTALL = (
    "Install Docker Engine (on Debian: apt-get install docker.io; elsewhere as docs.docker.com/engine/install says), "
    "start it, and see that `docker info` answers for your user. kind, helm and kubectl are brought by the make target."
)


@dataclass(frozen=True)
class Docker:
    """What `docker info` has said. found: whether there is such a program. code: None when it did not end in time."""

    found: bool
    code: int | None = 0
    output: str = ""
    errors: str = ""


def ask_docker() -> Docker:
    """Run `docker info`."""
    if not shutil.which("docker"):
        return Docker(found=False)
    command = ["docker", "info", "--format", "{{json .}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return Docker(found=True, code=None)
    return Docker(True, done.returncode, done.stdout, done.stderr.strip())


def why_unavailable(docker: Docker) -> str:
    """Why the suite cannot run here, and what to do; empty when it can. No I/O."""
    if not docker.found:
        return f"This suite needs Docker, and there is no program `docker` on this machine. {INSTALL}"
    if docker.code is None:
        return f"This suite needs Docker, and `docker info` did not answer within {SECONDS} s. {INSTALL}"
    if docker.code != 0:
        words = docker.errors.splitlines()[-1] if docker.errors else f"exit code {docker.code}"
        return f"This suite needs Docker, and its daemon does not answer: {words} {INSTALL}"
    try:
        system = str(json.loads(docker.output).get("OSType"))
    except ValueError:
        system = docker.output[:40]
    if system != "linux":
        return f"This suite needs a Docker that runs Linux containers; this one runs {system!r}."
    return ""
