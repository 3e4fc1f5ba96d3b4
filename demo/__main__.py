"""`make demo`: a CNIChain is applied to an EKS-like cluster, becomes Ready, follows an upgrade of the VPC CNI, and a
change of it that crashes goes back by itself."""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from cnichain.dev.background import down
from cnichain.dev.controlplane import ControlPlane
from cnichain.dev.errors import DevError
from cnichain.dev.layout import Layout, default_dir
from cnichain.dev.nodefolder import write_aws_conflist
from cnichain.dev.parts import Parts
from demo.charts import ROOT, find_charts
from demo.show import Screen
from demo.story import adopt, follow_upgrade, go_back

NODES = 3
CILIUM_VERSION = "1.17.3"


def main() -> int:
    """0 when everything that the demo promises was seen; 1 with the reason otherwise."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the control plane, operator and agents running")
    parser.add_argument(
        "--stand-in", action="store_true", help="use the stand-in chart even if an official one is there"
    )
    options = parser.parse_args()
    screen = Screen()
    # SIGTERM is an orderly end as well, like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ExitStack() as cleanup:
            _run(screen, cleanup, keep=options.keep, stand_in=options.stand_in)
    except KeyboardInterrupt:
        screen.say("Stopped; everything that was started has been stopped as well.")
        return 130
    except (DevError, FileNotFoundError) as error:
        screen.say(f"The demo stopped: {error}")
        return 1
    return 0


def _run(screen: Screen, cleanup: ExitStack, *, keep: bool, stand_in: bool) -> None:
    if keep:
        directory = default_dir().with_name("demo")
    else:
        directory = Path(tempfile.mkdtemp(prefix="cnichain-demo-"))
        cleanup.callback(shutil.rmtree, directory)
    started = time.monotonic()
    screen.head("A local control plane: etcd, kube-apiserver, controller-manager, scheduler, kwok")
    # On every way out but a finished KEEP=1 the control plane goes down, and with it what is tethered to it.
    undo = cleanup.enter_context(ExitStack())
    if keep:
        control_plane = ControlPlane.up(directory / "cluster", nodes=NODES, eks=True)
        undo.callback(down, directory / "cluster")
    else:
        control_plane = undo.enter_context(ControlPlane.run(directory / "cluster", nodes=NODES, eks=True))
    screen.say(f"Ready after {time.monotonic() - started:.1f} s with {NODES} nodes shaped like EKS nodes.")
    parts = Parts(Layout(control_plane.directory), control_plane.toolbox.path("helm"))
    undo.callback(parts.stop)
    for folder in parts.folders:
        write_aws_conflist(folder.conf_dir, egress_mtu=9001)
    charts = find_charts(CILIUM_VERSION, directory / "stand-in", stand_in=stand_in)
    screen.say(f"Charts: {charts.said}")
    control_plane.run_kubectl("apply", "--server-side", f"--filename={ROOT / 'crds'}")
    control_plane.run_kubectl("apply", "--server-side", f"--filename={ROOT / 'deploy/base/namespace.yaml'}")
    parts.start_operator(chart_dir=charts.folder, catalogue=charts.catalogue)
    parts.start_agents()
    adopt(screen, control_plane, parts)
    follow_upgrade(screen, control_plane, parts)
    go_back(screen, control_plane, parts)
    screen.look_around(control_plane, parts, keep=keep)
    if keep:
        undo.pop_all()


if __name__ == "__main__":
    sys.exit(main())
