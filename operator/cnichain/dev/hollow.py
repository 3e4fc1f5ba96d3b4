"""Hollow nodes: the agents of many nodes in one process. Run as `python -m cnichain.dev.hollow`.

Real, and a node's own: its folder with configuration, plugin binaries and the agent's state; its guard (look, decide,
write, verify) in a thread; its reporter in another, which sends the status with a request of its own; its lock.

Shared, where a fleet of processes would have one each: the process, its garbage collection and its log, whose lines
name the node; the inotify instance (sharedinotify.py); and the list and watch of CNIChainNodes, which are read whole
and handed to the node of the same name. So the API server sees one watch for all of them, and a request per status.

A process may have some thousands of open files, and each node needs four: `--part=1/2` guards the first half of the
nodes, for as many processes as are wanted.

Not there: a container runtime and a Cilium that could be asked, and health checks of the agent itself. A folder that
comes later gets its agent with its first CNIChainNode.
"""

import argparse
import gc
import os
import resource
import signal
import sys
import threading
import traceback
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnichain import __version__
from cnichain.dev.nodefolder import NodeFolder
from cnichain.dev.sharedinotify import SharedInotify
from cnichain.node.access import from_kubeconfig
from cnichain.node.alarm import Alarm
from cnichain.node.api_client import Access, ApiClient, ApiConfigError, Event
from cnichain.node.cilium import CiliumWatcher
from cnichain.node.guard import Guard, Options
from cnichain.node.holding import UNASKED
from cnichain.node.inotify import Watcher
from cnichain.node.log import LEVELS, log
from cnichain.node.report import Reporter, SpecIntake, SpecWatcher
from cnichain.node.state import StateDir

_PAGE = 500
"""CNIChainNodes in one answer: about two megabytes."""
_STACK = 256 * 1024
"""Bytes of a thread's stack; the default of 8 MB is reserved thousands of times for nothing."""
_STOP_SECONDS = 20.0
_SWITCH_SECONDS = 0.5
"""How long a thread may compute before it hands Python's lock on. Each thread that waits for the lock wakes up so often
to ask for it: with thousands of them and the default of 5 ms, they do little else."""

_Item = dict[str, Any]


class AllNodes(ApiClient):
    """Reads every CNIChainNode, in place of one."""

    def __init__(self, access: Access) -> None:
        super().__init__(access, "")

    @property
    def _selection(self) -> Mapping[str, str]:
        return {}

    def fetch_all(self) -> tuple[list[_Item], str]:
        """All objects, page by page, and the resourceVersion to watch from. Raises ApiError, ApiUnreachableError."""
        items: list[_Item] = []
        more: dict[str, str] = {}
        while True:
            answer = self._list({"limit": str(_PAGE), **more})
            metadata = answer.get("metadata") or {}
            items += answer.get("items") or []
            if not metadata.get("continue"):
                return items, str(metadata.get("resourceVersion") or "")
            more = {"continue": str(metadata["continue"])}


class HollowNode:
    """The agent of one node: the parts of `cnichain.node.main`, without those that this file says are not there."""

    def __init__(self, folder: NodeFolder, access: Access, inotify: SharedInotify, poll: float) -> None:
        self.name = folder.root.name
        self._state = StateDir(folder.state_dir)
        self._client = ApiClient(access, self.name)
        self._reporter = Reporter(self._client, UNASKED)
        self._reporter.name = self.name
        alarm = Alarm(folder.conf_dir, folder.bin_dir, lambda conf, binaries: Watcher(conf, binaries, inotify.part()))
        self._guard = Guard(
            Options(folder.conf_dir, folder.bin_dir, poll, __version__),
            self._state,
            self._reporter.publish,
            alarm,
            CiliumWatcher("", 1.0, alarm.wake),
            None,
            lambda: None,
        )
        self.intake = SpecIntake(self._client, self._reporter, self._state, self._guard.give_spec)
        self._thread = threading.Thread(target=self._guard.run, name=self.name, daemon=True)

    def start(self) -> bool:
        """Starts its threads; False when another process has the agent's lock."""
        if not self._state.lock():
            return False
        self._reporter.start()
        self._thread.start()
        return True

    def stop(self) -> None:
        """Asks its threads to end."""
        self._guard.stop()
        self._reporter.stop()
        self._client.close()

    def join(self) -> bool:
        """Waits for them; whether they have ended."""
        for thread in (self._thread, self._reporter):
            thread.join(_STOP_SECONDS)
        self._state.close()
        return not self._thread.is_alive() and not self._reporter.is_alive()


class Fleet:
    """All hollow nodes, and what they share."""

    def __init__(self, nodes_dir: Path, access: Access, poll: float, part: tuple[int, int] = (1, 1)) -> None:
        """nodes_dir: one folder per node, named as the node. part: (which, of how many) parts of the nodes."""
        self._nodes_dir, self._access, self._poll, self._part = nodes_dir, access, poll, part
        self._inotify = SharedInotify()
        self._client = AllNodes(access)
        self._watcher = SpecWatcher(self._client, self)
        self._nodes: dict[str, HollowNode] = {}

    def start(self) -> int:
        """Starts an agent for each folder; how many."""
        self._inotify.start()
        for path in sorted(self._nodes_dir.iterdir()):
            self._node(path.name)
        guarded = len(self._nodes)  # before the watch, which may add some
        self._watcher.start()
        return guarded

    def stop(self) -> bool:
        """Ends all; whether every thread has ended in time."""
        self._watcher.stop()
        self._client.close()
        self._watcher.join(_STOP_SECONDS)
        for node in self._nodes.values():
            node.stop()
        ended = [node.join() for node in self._nodes.values()]
        self._inotify.stop()
        return all(ended) and not self._watcher.is_alive()

    def catch_up(self) -> str:
        """Hands each object to its node, and tells the others that there is none; the version to watch from."""
        items, version = self._client.fetch_all()
        by_name = {str(item["metadata"]["name"]): item for item in items}
        for name in {*by_name, *self._nodes}:
            if node := self._node(name):
                node.intake.take(by_name.get(name))
        return version

    def handle(self, event: Event) -> None:
        """Hands a change to its node."""
        name = str(event.item.get("metadata", {}).get("name") or "")
        if name and (node := self._node(name)):
            node.intake.handle(event)

    def _node(self, name: str) -> HollowNode | None:
        """The agent of that node, started now if it is new; None without a folder, or in another part."""
        if name in self._nodes:
            return self._nodes[name]
        if not is_in(name, self._part):
            return None
        folder = NodeFolder(self._nodes_dir / name)
        if not folder.conf_dir.is_dir():
            return None
        node = HollowNode(folder, self._access, self._inotify, self._poll)
        if not node.start():
            log.error("Another agent guards this node; it gets none here", node=name)
            return None
        self._nodes[name] = node
        return node


def main(argv: list[str] | None = None) -> int:
    """Runs until SIGTERM or SIGINT: 0 then, 1 when a thread failed or did not end, 2 for wrong arguments."""
    options = _parser().parse_args(argv)
    log.set_level(options.log_level)
    log.context = lambda: {"thread": threading.current_thread().name}
    _allow_many_files()
    try:
        access = from_kubeconfig(options.kubeconfig, None)
    except ApiConfigError as error:
        log.error(str(error))
        return 2
    asked, crashed = threading.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())

    def crash(args: threading.ExceptHookArgs) -> None:
        trace = "".join(traceback.format_exception(args.exc_value)) if args.exc_value else str(args.exc_type)
        log.error("A thread failed; stopping", exception=trace)
        crashed.set()
        asked.set()

    threading.excepthook = crash
    threading.stack_size(_STACK)
    sys.setswitchinterval(_SWITCH_SECONDS)
    fleet = Fleet(options.nodes_dir, access, options.poll_seconds, options.part)
    log.info("Guarding", nodes=fleet.start(), pid=os.getpid())
    gc.freeze()  # what is there by now stays for ever
    asked.wait()
    ended = fleet.stop()
    return 0 if ended and not crashed.is_set() else 1


def _allow_many_files() -> None:
    """Each node has four open: its lock, its wakers."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def is_in(name: str, part: tuple[int, int]) -> bool:
    """Whether a node is of this part, (which, of how many): each node is of one, and stays in it."""
    which, parts = part
    return zlib.crc32(name.encode()) % parts == which - 1


def _part(text: str) -> tuple[int, int]:
    """`1/2` as numbers. Raises ValueError."""
    which, parts = map(int, text.split("/"))
    if not 1 <= which <= parts:
        raise ValueError(text)
    return which, parts


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nodes-dir", type=Path, required=True, help="a folder with one folder per node")
    parser.add_argument("--kubeconfig", type=Path, required=True, help="with a token or a client certificate")
    parser.add_argument("--poll-seconds", type=float, default=30.0, help="between looks without an event (%(default)s)")
    parser.add_argument("--part", type=_part, default=(1, 1), help="which part of the nodes, as 1/2 (all of them)")
    parser.add_argument("--log-level", choices=LEVELS, default="info", help="(%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
