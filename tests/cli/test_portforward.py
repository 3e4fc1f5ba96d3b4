"""kubectl port-forward as a child: waited for, told about, and never left behind. The program is a stand-in here."""

import os
import sys
from pathlib import Path

import pytest

from cnichain.cli.common import UnansweredError
from cnichain.cli.portforward import Target, forwarded

TARGET = Target("kube-system", "hubble-ui", 80, 0)
LISTENS = """
import socket, sys, time
server = socket.create_server(("127.0.0.1", 0))
print(f"Forwarding from 127.0.0.1:{server.getsockname()[1]} -> 8081", flush=True)
print(f"Forwarding from [::1]:1 -> 8081", flush=True)
time.sleep(60)
"""


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of that name that is the first in PATH; tests write what it does."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path / "kubectl"


def becomes(kubectl: Path, text: str) -> None:
    kubectl.write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
    kubectl.chmod(0o755)


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_it_is_ready_when_the_port_is_known_and_gone_afterwards(kubectl: Path) -> None:
    becomes(kubectl, LISTENS)
    with forwarded(TARGET, None, 20) as forward:
        assert forward.local > 1, "the port of IPv4"
        assert is_there(forward.process.pid)
    assert not is_there(forward.process.pid), "kubectl must not outlive us"


def test_it_is_gone_as_well_when_we_are_interrupted(kubectl: Path) -> None:
    becomes(kubectl, f"import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n{LISTENS}")
    pids = []
    with pytest.raises(KeyboardInterrupt), forwarded(TARGET, None, 20) as forward:  # noqa: PT012 - the block is ended
        pids.append(forward.process.pid)
        raise KeyboardInterrupt
    assert not is_there(pids[0])


def test_what_kubectl_is_asked_for(kubectl: Path, tmp_path: Path) -> None:
    becomes(kubectl, "import sys\nprint('asked:', *sys.argv[1:])\nsys.exit(1)\n")
    config = tmp_path / "config"
    with pytest.raises(UnansweredError) as caught, forwarded(Target("ns", "svc", 443, 4245), config, 20):
        pytest.fail("it cannot listen")
    assert str(caught.value.message) == (
        f"kubectl port-forward failed: asked: --kubeconfig={config} port-forward --namespace=ns --address=127.0.0.1 "
        "service/svc 4245:443"
    )


def test_its_own_words_are_told_when_it_fails(kubectl: Path) -> None:
    becomes(kubectl, "import sys\nsys.exit('error: unable to listen on any of the requested ports: [{12000 8081}]')\n")
    words = "unable to listen on any of the requested ports"
    with pytest.raises(UnansweredError, match=words), forwarded(TARGET, None, 20):
        pytest.fail("it cannot listen")


def test_one_that_never_listens_is_given_up_and_ended(kubectl: Path, tmp_path: Path) -> None:
    becomes(kubectl, f"import os, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n")
    words = "does not forward to service kube-system/hubble-ui after 1 s"
    with pytest.raises(UnansweredError, match=words), forwarded(TARGET, None, 1.0):
        pytest.fail("it cannot listen")
    assert not is_there(int((tmp_path / "pid").read_text(encoding="utf-8")))


def test_the_end_of_a_forwarding_is_told_in_its_words(kubectl: Path) -> None:
    becomes(kubectl, LISTENS.replace("time.sleep(60)", "sys.exit('error: lost connection to pod')"))
    with forwarded(TARGET, None, 20) as forward:
        assert forward.until_it_ends() == "error: lost connection to pod"


def test_without_kubectl_it_says_what_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnansweredError, match="the program kubectl is not in PATH"), forwarded(TARGET, None, 20):
        pytest.fail("there is no kubectl")
